"""What a vector search found, and its columns for numpy, Arrow, pandas and polars."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow  # type: ignore[import-untyped,unused-ignore]


class Columns:
    """Results that can be seen as a table. The library that is asked for must be installed."""

    def to_dict(self) -> dict[str, Any]:
        """The columns by name: lists, or numpy arrays for numbers."""
        raise NotImplementedError

    def to_arrow(self) -> pyarrow.Table:
        """A ``pyarrow.Table``."""
        import pyarrow

        table: pyarrow.Table = pyarrow.table(self.to_dict())
        return table

    def to_pandas(self) -> pandas.DataFrame:
        """A ``pandas.DataFrame``."""
        import pandas

        frame: pandas.DataFrame = pandas.DataFrame(self.to_dict())
        return frame

    def to_polars(self) -> polars.DataFrame:
        """A ``polars.DataFrame``."""
        import polars

        frame: polars.DataFrame = polars.DataFrame(self.to_dict())
        return frame

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The Arrow PyCapsule interface, for any library that reads it; needs pyarrow."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


class SearchResult(Columns):
    """Hits of one query, best first; iterates over (id, score) pairs."""

    __slots__ = ("ids", "scores", "texts")

    ids: list[str]
    scores: NDArray[np.float32]
    """Similarity of each hit, shape (hits,): 1 is the same direction, 0 the opposite."""
    texts: Optional[list[Optional[str]]]
    """Each hit's attributes as JSON text, where they were asked for."""

    def __init__(
        self, ids: list[str], scores: NDArray[np.float32], texts: Optional[list[Optional[str]]] = None
    ) -> None:
        self.ids, self.scores, self.texts = ids, scores, texts

    @property
    def attributes(self) -> Optional[list[Any]]:
        """Each hit's attributes where asked for: decoded JSON, the text where it is none, None where there are none."""
        return None if self.texts is None else [from_json(text) for text in self.texts]

    def to_dict(self) -> dict[str, Any]:
        columns: dict[str, Any] = {"id": self.ids, "score": self.scores}
        return columns if self.texts is None else {**columns, "attributes": self.texts}

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter(zip(self.ids, self.scores.tolist()))

    def __repr__(self) -> str:
        return f"SearchResult({dict(self)!r})"


class SearchResults(Columns, Sequence[SearchResult]):
    """Results of several queries, in their order."""

    def __init__(self, results: Iterable[SearchResult]) -> None:
        self._results = list(results)

    @overload
    def __getitem__(self, at: int) -> SearchResult: ...

    @overload
    def __getitem__(self, at: slice) -> list[SearchResult]: ...

    def __getitem__(self, at: Union[int, slice]) -> Union[SearchResult, list[SearchResult]]:
        return self._results[at]

    def __len__(self) -> int:
        return len(self._results)

    def __eq__(self, other: object) -> bool:
        return self._results == (other._results if isinstance(other, SearchResults) else other)

    def __repr__(self) -> str:
        return f"SearchResults({self._results!r})"

    def to_dict(self) -> dict[str, Any]:
        """Columns over all hits; ``query`` is the number of the query."""
        lengths = [len(result) for result in self]
        columns: dict[str, Any] = {
            "query": np.repeat(np.arange(len(self), dtype=np.int32), lengths),
            "id": [id for result in self for id in result.ids],
            "score": np.concatenate([result.scores for result in self] or [np.empty(0, np.float32)]),
        }
        if any(result.texts is not None for result in self):
            columns["attributes"] = [text for result in self for text in result.texts or ()]
        return columns


Found = tuple[list[str], "NDArray[np.float32]", Optional[list[Optional[str]]]]


def results_of(found: Sequence[Found], single: bool) -> Any:
    """One result, or all of them."""
    results = SearchResults(SearchResult(*each) for each in found)
    return results[0] if single else results


def from_json(text: Optional[str]) -> Any:
    """Attributes from their text."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
