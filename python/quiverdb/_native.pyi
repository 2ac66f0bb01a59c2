from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import NDArray

Word = Union[str, bytes, bytearray, memoryview, int, float]

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
