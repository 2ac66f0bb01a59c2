"""Semantic caches: the response to a prompt that was given before, or to one much like it (the SC commands).

Lookups try the prompt's own text first, then the similarity of its embedding, and never leave their scope: what is
stored for one tenant is not found for another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from quiverdb._arrays import Attributes, Word, to_json
from quiverdb._words import pairs_of, text_of

if TYPE_CHECKING:
    from quiverdb.aio import AsyncClient
    from quiverdb.client import Client

Expiry = Union[int, float, timedelta, datetime, None]
"""How long an entry lives: seconds, or until when. None: as the cache says."""


@dataclass(frozen=True)
class Hit:
    """A response from the cache."""

    id: str
    response: str
    prompt: str
    """The prompt it was stored for."""
    exact: bool
    """Whether that was the prompt asked for, word by word."""
    score: float
    """Similarity of the two: 1 is the same direction."""
    metadata: Any
    created_ms: int
    ttl_ms: Optional[int]
    """What it has left to live; None: for ever."""


def config_words(
    name: str,
    threshold: Optional[float],
    near: Optional[float],
    ttl: Optional[int],
    sliding: Optional[bool],
    max_bytes: Optional[int],
    max_entries: Optional[int],
) -> list[Word]:
    """SC.CONFIG."""
    command: list[Word] = ["SC.CONFIG", name]
    options: dict[str, Optional[Word]] = {
        "THRESHOLD": threshold, "NEAR": near, "TTL": ttl, "MAXBYTES": max_bytes, "MAXENTRIES": max_entries,
    }
    for option, value in options.items():
        if value is not None:
            command += [option, value]
    return command + _life(sliding)


def get_words(
    name: str,
    prompt: Optional[str],
    embedding: Any,
    scope: Optional[str],
    model: Optional[str],
    threshold: Optional[float],
    filter: Optional[str],
) -> list[Word]:
    """SC.GET."""
    command: list[Word] = ["SC.GET", name]
    if prompt is not None:
        command += ["PROMPT", prompt]
    if embedding is not None:
        command += ["FP32", _blob(embedding)]
    command += _where(scope, model, filter)
    if threshold is not None:
        command += ["THRESHOLD", threshold]
    return command


def set_words(
    name: str,
    prompt: str,
    response: str,
    embedding: Any,
    scope: Optional[str],
    model: Optional[str],
    metadata: Attributes,
    expires: Expiry,
    sliding: Optional[bool],
) -> list[Word]:
    """SC.SET."""
    command: list[Word] = ["SC.SET", name, "PROMPT", prompt, "RESPONSE", response, "FP32", _blob(embedding)]
    command += _where(scope, model, None)
    if metadata is not None:
        command += ["METADATA", to_json(metadata) or ""]
    if isinstance(expires, datetime):
        command += ["PXAT", round(expires.timestamp() * 1000)]
    elif expires is not None:
        seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
        command += ["PX", round(seconds * 1000)]
    return command + _life(sliding)


def invalidate_words(
    name: str,
    ids: Iterable[str],
    prompt: Optional[str],
    scope: Optional[str],
    model: Optional[str],
    filter: Optional[str],
    everything: bool,
) -> list[Word]:
    """SC.INVALIDATE."""
    command: list[Word] = ["SC.INVALIDATE", name]
    if everything:
        return [*command, "ALL"]
    for id in ids:
        command += ["ID", id]
    if prompt is not None:
        command += ["PROMPT", prompt]
    return command + _where(scope, model, filter)


def hit_of(reply: Any) -> Optional[Hit]:
    """What SC.GET has found."""
    if reply is None:
        return None
    told = {text_of(name): text_of(value) for name, value in pairs_of(reply)}
    metadata = told["metadata"]
    try:
        metadata = None if metadata is None else json.loads(metadata)
    except ValueError:
        pass  # Whoever stored it by hand may have stored any text.
    return Hit(
        told["id"], told["response"], told["prompt"], told["match"] == "exact", float(told["score"]), metadata,
        told["created"], told["ttl-ms"],
    )


def stats_of(reply: Any) -> dict[str, Any]:
    """What SC.STATS says."""
    return {text_of(name): float(value) if isinstance(value, bytes) else value for name, value in pairs_of(reply)}


def _where(scope: Optional[str], model: Optional[str], filter: Optional[str]) -> list[Word]:
    options: dict[str, Optional[Word]] = {"SCOPE": scope, "MODEL": model, "FILTER": filter}
    return [word for option, value in options.items() if value is not None for word in (option, value)]


def _life(sliding: Optional[bool]) -> list[Word]:
    return [] if sliding is None else ["SLIDING" if sliding else "ABSOLUTE"]


def _blob(embedding: Any) -> bytes:
    vector = np.asarray(embedding, dtype="<f4")
    if vector.ndim != 1:
        raise ValueError(f"an embedding must have shape (dim,), not {vector.shape}")
    return vector.tobytes()


class SemanticCache:
    """One cache: ``client.semantic_cache(name)``."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def configure(
        self,
        *,
        threshold: Optional[float] = None,
        near: Optional[float] = None,
        ttl: Optional[int] = None,
        sliding: Optional[bool] = None,
        max_bytes: Optional[int] = None,
        max_entries: Optional[int] = None,
    ) -> SemanticCache:
        """Creates the cache or changes its settings: the least similarity of a hit and of a near miss (0 to 1), seconds
        that entries live and whether a hit prolongs that, and bounds of which the least recently used entries go."""
        self._client.execute(*config_words(self.name, threshold, near, ttl, sliding, max_bytes, max_entries))
        return self

    def get(
        self,
        prompt: Optional[str] = None,
        embedding: Any = None,
        *,
        scope: Optional[str] = None,
        model: Optional[str] = None,
        threshold: Optional[float] = None,
        filter: Optional[str] = None,
    ) -> Optional[Hit]:
        """The response to ``prompt``, else to the prompt whose embedding is most similar, within ``scope`` and
        ``model``; None where none is similar enough. Without an embedding only the text is looked up."""
        return hit_of(self._client.execute(*get_words(self.name, prompt, embedding, scope, model, threshold, filter)))

    def set(
        self,
        prompt: str,
        response: str,
        embedding: Any,
        *,
        scope: Optional[str] = None,
        model: Optional[str] = None,
        metadata: Attributes = None,
        expires: Expiry = None,
        sliding: Optional[bool] = None,
    ) -> str:
        """Stores a response; returns its id."""
        words = set_words(self.name, prompt, response, embedding, scope, model, metadata, expires, sliding)
        return str(text_of(self._client.execute(*words)))

    def invalidate(
        self,
        *ids: str,
        prompt: Optional[str] = None,
        scope: Optional[str] = None,
        model: Optional[str] = None,
        filter: Optional[str] = None,
        everything: bool = False,
    ) -> int:
        """Deletes entries by id, by prompt, by scope, model and an expression over metadata, or all; how many."""
        words = invalidate_words(self.name, ids, prompt, scope, model, filter, everything)
        return int(self._client.execute(*words))

    def stats(self) -> dict[str, Any]:
        """Settings, size, and how often there was a hit, a near miss, a miss."""
        return stats_of(self._client.execute("SC.STATS", self.name))

    def drop(self) -> int:
        """Deletes the cache and all that belongs to it."""
        return int(self._client.execute("SC.DROP", self.name))


class AsyncSemanticCache:
    """As :class:`SemanticCache`, to be awaited."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client = client
        self.name = name

    async def configure(
        self,
        *,
        threshold: Optional[float] = None,
        near: Optional[float] = None,
        ttl: Optional[int] = None,
        sliding: Optional[bool] = None,
        max_bytes: Optional[int] = None,
        max_entries: Optional[int] = None,
    ) -> AsyncSemanticCache:
        """See :meth:`SemanticCache.configure`."""
        await self._client.execute(*config_words(self.name, threshold, near, ttl, sliding, max_bytes, max_entries))
        return self

    async def get(
        self,
        prompt: Optional[str] = None,
        embedding: Any = None,
        *,
        scope: Optional[str] = None,
        model: Optional[str] = None,
        threshold: Optional[float] = None,
        filter: Optional[str] = None,
    ) -> Optional[Hit]:
        """See :meth:`SemanticCache.get`."""
        words = get_words(self.name, prompt, embedding, scope, model, threshold, filter)
        return hit_of(await self._client.execute(*words))

    async def set(
        self,
        prompt: str,
        response: str,
        embedding: Any,
        *,
        scope: Optional[str] = None,
        model: Optional[str] = None,
        metadata: Attributes = None,
        expires: Expiry = None,
        sliding: Optional[bool] = None,
    ) -> str:
        """See :meth:`SemanticCache.set`."""
        words = set_words(self.name, prompt, response, embedding, scope, model, metadata, expires, sliding)
        return str(text_of(await self._client.execute(*words)))

    async def invalidate(
        self,
        *ids: str,
        prompt: Optional[str] = None,
        scope: Optional[str] = None,
        model: Optional[str] = None,
        filter: Optional[str] = None,
        everything: bool = False,
    ) -> int:
        """See :meth:`SemanticCache.invalidate`."""
        words = invalidate_words(self.name, ids, prompt, scope, model, filter, everything)
        return int(await self._client.execute(*words))

    async def stats(self) -> dict[str, Any]:
        """See :meth:`SemanticCache.stats`."""
        return stats_of(await self._client.execute("SC.STATS", self.name))

    async def drop(self) -> int:
        """See :meth:`SemanticCache.drop`."""
        return int(await self._client.execute("SC.DROP", self.name))
