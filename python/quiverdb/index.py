"""The vector index in this process, without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Literal, Optional, Union

import numpy as np
from numpy.typing import NDArray

from quiverdb import _native
from quiverdb._arrays import Ids, Progress, Word, float32, progress_bar, queries_of, rows_of, words
from quiverdb.results import SearchResult, SearchResults

# Rows handed over at a time: an interrupt, a search or a progress bar waits for no more than these.
_ROWS_PER_STEP = 512

Filter = Union[Callable[[str], object], Iterable[Word], None]
"""Which elements a search may return: a function of an id, or ids."""


class Index:
    """An HNSW index of named vectors: the one inside the server, used directly.

    ``metric`` is ``"cosine"``, ``"ip"`` (inner product) or ``"l2"``. ``storage`` ``"f32"`` keeps the vectors,
    ``"i8"`` a code of a quarter of their size. ``m`` links per element and ``ef_construction`` candidates per
    addition trade memory and time for recall.

    Ids are str; others are taken as their text. Scores are larger for nearer: (1 + cos) / 2 under cosine, the inner
    product, or minus the squared distance. Threads may share an index: searches run side by side. It can be pickled.
    """

    def __init__(
        self,
        dim: int,
        metric: Literal["cosine", "ip", "l2"] = "cosine",
        storage: Literal["f32", "f16", "bf16", "i8", "binary"] = "f32",
        m: int = 16,
        ef_construction: int = 200,
    ) -> None:
        self._index: Optional[_native.Index] = _native.Index(dim, metric, storage, m, ef_construction)

    @classmethod
    def build(
        cls,
        vectors: Any,
        ids: Optional[Ids] = None,
        metric: Literal["cosine", "ip", "l2"] = "cosine",
        storage: Literal["f32", "f16", "bf16", "i8", "binary"] = "f32",
        m: int = 16,
        ef_construction: int = 200,
        *,
        threads: Optional[int] = None,
        progress: Progress = False,
    ) -> Index:
        """An index of the rows of ``vectors``, shape (n, dim), under their row numbers or ``ids``."""
        rows = np.asarray(vectors)
        names: Ids = np.arange(len(rows)) if ids is None else ids
        rows = rows_of(names, rows)
        index = cls(rows.shape[1], metric, storage, m, ef_construction)
        index.add(names, rows, threads=threads, progress=progress)
        return index

    @classmethod
    def load(cls, path: Union[str, PathLike[str]]) -> Index:
        """Reads an index written by :meth:`save`. Raises OSError if the file is not one, or damaged."""
        index = cls.__new__(cls)
        index._index = _native.Index.load(path)
        return index

    def save(self, path: Union[str, PathLike[str]]) -> None:
        """Writes the index to ``path``, all or nothing; the graph is kept, so that loading does not rebuild it."""
        self._open.save(path)

    def __getstate__(self) -> bytes:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            self.save(path)
            return path.read_bytes()

    def __setstate__(self, state: bytes) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            path.write_bytes(state)
            self._index = _native.Index.load(path)

    def add(
        self,
        ids: Ids,
        vectors: Any,
        *,
        ef: Optional[int] = None,
        threads: Optional[int] = None,
        progress: Progress = False,
    ) -> int:
        """Adds or replaces elements; ``vectors`` has shape (n, dim). Returns how many ids are new.

        Several ``threads`` (all cores if None) build the same graph, whatever their number; one alone builds another,
        element by element. A vector that is refused (NaN, infinity) raises ValueError; some of those before it have
        been added. ``ef`` overrides ``ef_construction``.
        """
        rows = rows_of(ids, vectors)
        new = 0
        with progress_bar(len(rows), progress) as advance:
            for start in range(0, len(rows), _ROWS_PER_STEP):
                part = slice(start, start + _ROWS_PER_STEP)
                new += self._open.add(words(ids[part]), float32(rows[part]), ef, threads)
                advance(len(rows[part]))
        return new

    def search(
        self,
        query: Any,
        k: int = 10,
        ef: int = 100,
        *,
        exact: bool = False,
        filter: Filter = None,
        threads: Optional[int] = None,
    ) -> Any:
        """The ``k`` elements nearest to ``query``.

        ``query`` of shape (dim,) gives a :class:`SearchResult`; of shape (n, dim), a :class:`SearchResults` of n, found
        by several ``threads`` (all cores if None). ``ef`` trades time for recall; ``exact`` compares with every element.
        ``filter`` says which elements count: ids, or a function that is asked about every id once per call. As many
        are found as there are, however few it accepts.
        """
        queries, single = queries_of(query)
        found = self._open.search(queries, k, ef, exact, threads, filter)
        results = SearchResults(SearchResult(ids, scores) for ids, scores in found)
        return results[0] if single else results

    def remove(self, *ids: Word) -> int:
        """Removes elements; returns how many there were."""
        return self._open.remove(ids)

    def vector(self, id: Word) -> Optional[NDArray[np.float32]]:
        """An element's vector, shape (dim,), as precisely as it is stored; None if there is no such element."""
        return self._open.vector(id)

    def ids(self) -> list[str]:
        """All ids, in no particular order."""
        return self._open.ids()

    def info(self) -> dict[str, Any]:
        """Parameters, number of elements and memory."""
        dim, metric, storage, m, ef_construction, memory_bytes = self._open.parameters()
        return {
            "dim": dim,
            "metric": metric,
            "storage": storage,
            "m": m,
            "ef_construction": ef_construction,
            "size": len(self),
            "memory_bytes": memory_bytes,
        }

    @property
    def dim(self) -> int:
        """Dimension of every vector."""
        return self._open.parameters()[0]

    def close(self) -> None:
        """Frees the index; it cannot be used afterwards."""
        self._index = None

    @property
    def _open(self) -> _native.Index:
        if self._index is None:
            raise ValueError("the index is closed")
        return self._index

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, id: Word) -> bool:
        return id in self._open

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._index is None:
            return "Index(closed)"
        dim, metric, storage, m, ef_construction, _bytes = self._index.parameters()
        return (
            f"Index(dim={dim}, metric={metric!r}, storage={storage!r}, m={m}, ef_construction={ef_construction})"
            f" of {len(self._index)} elements"
        )
