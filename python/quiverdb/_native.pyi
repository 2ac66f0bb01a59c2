from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import NDArray

from quiverdb._arrays import Word

__version__: str

class Connection:
    def __init__(
        self,
        host: str,
        port: int,
        login: tuple[Optional[str], Optional[str]],
        db: int,
        timeout: Optional[float],
        decode: bool,
    ) -> None: ...
    def execute(self, *words: Word) -> Any: ...
    def pipeline(self, commands: Iterable[Sequence[Word]]) -> list[Any]: ...
    def vector_add(
        self,
        key: Word,
        ids: Sequence[Word],
        vectors: NDArray[np.float32],
        attributes: Optional[Sequence[Optional[str]]],
        options: Sequence[Word],
    ) -> int: ...
    def vector_search(
        self,
        key: Word,
        queries: NDArray[np.float32],
        options: Sequence[Word],
        with_attributes: bool,
    ) -> list[tuple[list[str], NDArray[np.float32], Optional[list[Optional[str]]]]]: ...
    def close(self) -> None: ...

class Index:
    def __init__(self, dim: int, metric: str, storage: str, m: int, ef_construction: int) -> None: ...
    @staticmethod
    def load(path: Union[str, PathLike[str]]) -> Index: ...
    def save(self, path: Union[str, PathLike[str]]) -> None: ...
    def add(self, ids: Sequence[Word], vectors: NDArray[np.float32], ef: Optional[int]) -> int: ...
    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        ef: int,
        exact: bool,
        threads: Optional[int],
    ) -> list[tuple[list[str], NDArray[np.float32]]]: ...
    def remove(self, ids: Sequence[Word]) -> int: ...
    def vector(self, id: Word) -> Optional[NDArray[np.float32]]: ...
    def ids(self) -> list[str]: ...
    def parameters(self) -> tuple[int, str, str, int, int, int]: ...
    def __len__(self) -> int: ...
    def __contains__(self, id: Word) -> bool: ...
