"""What a vector search found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SearchResult:
    """Hits of one query, best first; iterates over (id, score) pairs."""

    ids: list[str]
    scores: NDArray[np.float32]
    """Similarity of each hit, shape (hits,): 1 is the same direction, 0 the opposite."""
    attributes: Optional[list[Any]] = None
    """Each hit's attributes where asked for: decoded JSON, the text where it is none, None where there are none."""

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter(zip(self.ids, self.scores.tolist()))
