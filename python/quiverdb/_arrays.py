"""What clients and indexes take: words, ids and vectors, as the native side wants them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import NDArray

Word = Union[str, bytes, bytearray, memoryview, int, float]
"""What can be part of a command."""
Text = Union[str, bytes]
Ids = Union[Sequence[Word], "NDArray[Any]"]
Attributes = Union[Mapping[str, Any], str, None]
Progress = Union[bool, Callable[[int], object]]
"""Whether to show a bar, or a function that is told how many more are done."""


def words(ids: Ids) -> Sequence[Word]:
    """Ids the native side can read: numpy's scalars are neither int nor str there, Python's own are."""
    return ids.tolist() if isinstance(ids, np.ndarray) else ids


def rows_of(ids: Ids, vectors: Any) -> NDArray[Any]:
    """``vectors`` as an array of shape (n, dim) with one row per id."""
    rows = np.asarray(vectors)
    if rows.ndim != 2:
        raise ValueError(f"vectors must have shape (n, dim), not {rows.shape}")
    if len(ids) != len(rows):
        raise ValueError(f"{len(ids)} ids for {len(rows)} vectors")
    return rows


def queries_of(query: Any) -> tuple[NDArray[np.float32], bool]:
    """``query`` as float32 of shape (n, dim), and whether it was a single one."""
    queries = np.asarray(query)
    if queries.ndim not in (1, 2):
        raise ValueError(f"query must have shape (dim,) or (n, dim), not {queries.shape}")
    return float32(queries if queries.ndim == 2 else queries[None]), queries.ndim == 1


def float32(rows: NDArray[Any]) -> NDArray[np.float32]:
    """``rows`` as float32 in C order; itself if it is that already."""
    if rows.dtype.kind not in "fiu":
        raise TypeError(f"vectors must be numbers, not {rows.dtype}")
    return np.ascontiguousarray(rows, dtype=np.float32)


def to_json(attributes: Attributes) -> Optional[str]:
    """Attributes as their text."""
    if attributes is None or isinstance(attributes, str):
        return attributes
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))


class progress_bar:
    """Tells how far it is: tqdm's bar where it is wanted and installed, a function of the caller's, or nothing."""

    def __init__(self, total: Optional[int], wanted: Progress) -> None:
        self._bar: Any = None
        self._tell: Callable[[int], object] = lambda done: None
        if callable(wanted):
            self._tell = wanted
        elif wanted:
            try:
                from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
            except ImportError:
                return
            self._bar = tqdm(total=total, unit="vec")
            self._tell = self._bar.update

    def __enter__(self) -> progress_bar:
        return self

    def __call__(self, done: int) -> None:
        self._tell(done)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
