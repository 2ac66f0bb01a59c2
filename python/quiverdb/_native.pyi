from asyncio import Future
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import NDArray

from quiverdb._arrays import Word
from quiverdb.results import Found

__version__: str

class Connection:
    def __init__(
        self,
        host: str,
        port: int,
        login: tuple[Optional[str], Optional[str]],
        db: int,
        timeout: Optional[float],
        retry: tuple[int, float, float],
        decode: bool,
    ) -> None: ...
    def execute(self, words: tuple[Word, ...], repeatable: bool, raw: bool) -> Any: ...
    def pipeline(self, commands: Iterable[Sequence[Word]], repeatable: bool) -> list[Any]: ...
    def vector_add(
        self,
        key: Word,
        ids: Sequence[Word],
        vectors: NDArray[np.float32],
        attributes: Optional[Sequence[Optional[str]]],
        options: Sequence[Word],
        at_once: bool,
    ) -> int: ...
    def vector_search(
        self,
        key: Word,
        queries: NDArray[np.float32],
        options: Sequence[Word],
        with_attributes: bool,
        at_once: bool,
    ) -> list[Found]: ...
    def vector_hits(self, words: Sequence[Word], with_attributes: bool) -> list[Found]: ...
    def vectors(self, key: Word, ids: Sequence[Word]) -> NDArray[np.float32]: ...
    def close(self) -> None: ...

class Multiplexed:
    def __init__(
        self,
        host: str,
        port: int,
        login: tuple[Optional[str], Optional[str]],
        db: int,
        timeout: Optional[float],
        retry: tuple[int, float, float],
        decode: bool,
    ) -> None: ...
    def execute(self, words: tuple[Word, ...], repeatable: bool, raw: bool) -> Future[Any]: ...
    def pipeline(self, commands: Iterable[Sequence[Word]], repeatable: bool) -> Future[list[Any]]: ...
    def vector_add(
        self,
        key: Word,
        ids: Sequence[Word],
        vectors: NDArray[np.float32],
        attributes: Optional[Sequence[Optional[str]]],
        options: Sequence[Word],
        at_once: bool,
    ) -> Future[int]: ...
    def vector_search(
        self,
        key: Word,
        queries: NDArray[np.float32],
        options: Sequence[Word],
        with_attributes: bool,
        at_once: bool,
    ) -> Future[list[Found]]: ...
    def vector_hits(self, words: Sequence[Word], with_attributes: bool) -> Future[list[Found]]: ...
    def vectors(self, key: Word, ids: Sequence[Word]) -> Future[NDArray[np.float32]]: ...
    def close(self) -> None: ...

class Index:
    def __init__(self, dim: int, metric: str, storage: str, m: int, ef_construction: int) -> None: ...
    @staticmethod
    def load(path: Union[str, PathLike[str]]) -> Index: ...
    def save(self, path: Union[str, PathLike[str]]) -> None: ...
    def add(
        self,
        ids: Sequence[Word],
        vectors: NDArray[np.float32],
        ef: Optional[int],
        threads: Optional[int],
    ) -> int: ...
    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        ef: int,
        exact: bool,
        threads: Optional[int],
        filter: Union[Callable[[str], object], Iterable[Word], None],
    ) -> list[tuple[list[str], NDArray[np.float32]]]: ...
    def remove(self, ids: Sequence[Word]) -> int: ...
    def vector(self, id: Word) -> Optional[NDArray[np.float32]]: ...
    def ids(self) -> list[str]: ...
    def parameters(self) -> tuple[int, str, str, int, int, int]: ...
    def __len__(self) -> int: ...
    def __contains__(self, id: Word) -> bool: ...

def json_rows(columns: Sequence[tuple[str, str, Any, Any]], rows: int) -> list[Optional[str]]: ...
