"""The in-process index under the names that hnswlib's users know: integer labels, arrays in, arrays out.

>>> from quiverdb import hnswlib
>>> index = hnswlib.Index("cosine", 384)
>>> index.init_index(max_elements=10_000)
>>> index.add_items(vectors, labels)                       # doctest: +SKIP
>>> labels, distances = index.knn_query(queries, k=10)     # doctest: +SKIP

What differs: what is deleted is gone for good, the index grows by itself, and a filter never finds fewer than there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import Literal, Optional, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quiverdb import index as _index
from quiverdb.results import SearchResults

Space = Literal["cosine", "ip", "l2"]


class Index:
    """hnswlib's ``Index`` on Quiver's graph."""

    def __init__(self, space: Space, dim: int) -> None:
        self.space: Space = space
        self.dim = dim
        self.ef = 10
        self._index: Optional[_index.Index] = None

    def init_index(
        self, max_elements: int = 0, M: int = 16, ef_construction: int = 200, random_seed: int = 100
    ) -> None:
        """Makes the index empty. It grows as it must, and its levels follow from the labels: ``max_elements`` and
        ``random_seed`` have no effect."""
        self._index = _index.Index(self.dim, self.space, "f32", M, ef_construction)

    def set_ef(self, ef: int) -> None:
        """The effort of searches."""
        self.ef = ef

    def add_items(self, data: ArrayLike, ids: Optional[ArrayLike] = None, num_threads: int = -1) -> None:
        """Adds rows under integer labels, those after the largest so far if there are none; a label that is there gets
        the new vector."""
        rows = np.atleast_2d(np.asarray(data))
        start = max(map(int, self._open.ids()), default=-1) + 1 if ids is None else 0
        labels = np.arange(start, start + len(rows)) if ids is None else np.atleast_1d(np.asarray(ids))
        self._open.add(labels, rows, threads=num_threads if num_threads > 0 else None)

    def knn_query(
        self,
        data: ArrayLike,
        k: int = 1,
        num_threads: int = -1,
        filter: Optional[Callable[[int], object]] = None,
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Labels and distances of the ``k`` nearest to each row, both of shape (n, k)."""
        rows = np.atleast_2d(np.asarray(data))
        accepts = None if filter is None else lambda id: filter(int(id))
        threads = num_threads if num_threads > 0 else None
        found: SearchResults = self._open.search(rows, k, max(self.ef, k), filter=accepts, threads=threads)
        if any(len(result) < k for result in found):
            raise RuntimeError("Cannot return the results in a contiguous 2D array: there are fewer than k elements")
        labels = np.array([result.ids for result in found]).astype(np.uint64).reshape(len(rows), k)
        return labels, self._distances(np.stack([result.scores for result in found]).reshape(len(rows), k))

    def _distances(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.space == "cosine":
            return 2 - 2 * scores
        return 1 - scores if self.space == "ip" else -scores

    def mark_deleted(self, label: int) -> None:
        """Removes an element, for good."""
        if not self._open.remove(label):
            raise RuntimeError("Label not found")

    def get_items(self, ids: Iterable[int]) -> NDArray[np.float32]:
        """The vectors of labels, shape (n, dim)."""
        vectors = [self._open.vector(int(label)) for label in ids]
        if any(vector is None for vector in vectors):
            raise RuntimeError("Label not found")
        return np.array(vectors, dtype=np.float32).reshape(len(vectors), self.dim)

    def get_ids_list(self) -> list[int]:
        """All labels."""
        return [int(id) for id in self._open.ids()]

    def get_current_count(self) -> int:
        """Elements in the index."""
        return len(self._open)

    @property
    def element_count(self) -> int:
        """Elements in the index."""
        return len(self._open)

    def save_index(self, path: Union[str, PathLike[str]]) -> None:
        """Writes the index, in Quiver's format."""
        self._open.save(path)

    def load_index(self, path: Union[str, PathLike[str]], max_elements: int = 0) -> None:
        """Reads what :meth:`save_index` (or ``quiverdb.Index.save``, with integer ids) has written."""
        self._index = _index.Index.load(path)

    @property
    def _open(self) -> _index.Index:
        if self._index is None:
            raise RuntimeError("init_index or load_index comes first")
        return self._index

    def __len__(self) -> int:
        return len(self._open)
