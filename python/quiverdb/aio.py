"""The client for asyncio: the same calls as :class:`quiverdb.Client` has, to be awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, overload

import numpy as np
from numpy.typing import NDArray

from quiverdb import _flows
from quiverdb._arrays import Attributes, Ids, Progress, Text, Word, progress_bar, queries_of, rows_of, to_json
from quiverdb._flows import Flow, T, run_async, text_or_none
from quiverdb._native import Multiplexed
from quiverdb._settings import Configured
from quiverdb._tables import source_of
from quiverdb._words import (
    Quant, add_options, flat, hset_words, info_of, native_settings, recommend_words, scan_words,
    search_options, set_words,
)
from quiverdb.features import AsyncFeatures
from quiverdb.results import SearchResult, SearchResults, from_json, results_of
from quiverdb.semantic_cache import AsyncSemanticCache

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from quiverdb._words import SearchOptions


class AsyncClient(Configured):
    """A connection to a Quiver (or Redis) server, for asyncio.

    Values come back as ``bytes``, or as ``str`` with ``decode=True``; element ids of vector sets are always ``str``.
    All tasks share one connection: what they ask for while it is busy goes out together in one pipeline, so do not
    change its state (SELECT, MULTI, SUBSCRIBE) or block it (BLPOP). It is opened by the first call. ``timeout`` is the
    longest silence to bear, in seconds (None: no limit). ``retry`` says what is tried again after a failure (None:
    nothing). A client can be pickled, and used after a fork: the copy connects anew.
    """

    def _connect(self, settings: dict[str, Any]) -> None:
        self._connection = Multiplexed(*native_settings(settings))
        # Of its own, so that nobody waits behind a long addition, and with more patience.
        patience = settings["timeout"] and settings["timeout"] * 12
        self._bulk = Multiplexed(*native_settings({**settings, "timeout": patience}))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection once what was asked for is answered; later calls raise :class:`ConnectionError`."""
        self._connection.close()
        self._bulk.close()

    # --- anything

    async def execute(self, *words: Word) -> Any:
        """Runs any command and returns its reply.

        Raises :class:`quiverdb.ResponseError` if the reply is an error.
        """
        return await self._connection.execute(words, False, False)

    async def pipeline(self, commands: Iterable[Sequence[Word]]) -> list[Any]:
        """Runs commands in one round trip. An error takes the place of its reply and is not raised."""
        return list(await self._connection.pipeline(commands, False))

    async def ping(self) -> bool:
        """Whether the server answers."""
        return bool(await self.execute("PING") == "PONG")

    async def _read(self, *words: Word) -> Any:
        return await self._connection.execute(words, True, False)

    async def _raw(self, *words: Word) -> Any:
        """A read whose strings stay bytes."""
        return await self._connection.execute(words, True, True)

    async def _run(self, flow: Flow[T], link: Optional[Multiplexed] = None) -> T:
        return await run_async(flow, link or self._connection)

    @cached_property
    def features(self) -> AsyncFeatures:
        """Features of entities, by view."""
        return AsyncFeatures(self)

    def semantic_cache(self, name: str) -> AsyncSemanticCache:
        """The cache of this name, which is made when it is first written to or configured."""
        return AsyncSemanticCache(self, name)

    # --- keys

    async def get(self, key: Word) -> Any:
        """The string at ``key``, None if there is no such key."""
        return await self._read("GET", key)

    async def set(
        self,
        key: Word,
        value: Word,
        *,
        ex: Optional[int] = None,
        px: Optional[int] = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Sets ``key``, to expire after ``ex`` seconds or ``px`` milliseconds; only if it is new (``nx``) or exists
        (``xx``). Returns whether it was set."""
        return (await self.execute(*set_words(key, value, ex, px, nx, xx))) is not None

    async def delete(self, *keys: Word) -> int:
        """Deletes keys; returns how many there were."""
        return int(await self.execute("DEL", *keys))

    async def exists(self, *keys: Word) -> int:
        """How many of the keys exist."""
        return int(await self._read("EXISTS", *keys))

    async def expire(self, key: Word, seconds: int) -> bool:
        """Lets ``key`` expire; returns whether it exists."""
        return bool(await self.execute("EXPIRE", key, seconds))

    async def ttl(self, key: Word) -> int:
        """Seconds left to live; -1 if ``key`` does not expire, -2 if it does not exist."""
        return int(await self._read("TTL", key))

    async def incr(self, key: Word, by: int = 1) -> int:
        """Adds to the integer at ``key``; returns the sum."""
        return int(await self.execute("INCRBY", key, by))

    async def mget(self, keys: Iterable[Word]) -> list[Any]:
        """The strings at several keys, None where there is none."""
        keys = list(keys)
        return list(await self._read("MGET", *keys)) if keys else []

    async def mset(self, values: Mapping[Any, Word]) -> None:
        """Sets several keys at once."""
        if values:
            await self.execute("MSET", *flat(values))

    async def hset(
        self,
        key: Word,
        field: Optional[Word] = None,
        value: Optional[Word] = None,
        mapping: Optional[Mapping[Any, Word]] = None,
    ) -> int:
        """Sets one field, those of ``mapping``, or both; returns how many are new."""
        return int(await self.execute(*hset_words(key, field, value, mapping)))

    async def hget(self, key: Word, field: Word) -> Any:
        """A field's value, None if there is none."""
        return await self._read("HGET", key, field)

    async def hgetall(self, key: Word) -> dict[Any, Any]:
        """All fields and values of a hash; empty if there is no such key."""
        return dict(await self._read("HGETALL", key))

    async def scan_iter(self, match: Optional[Text] = None, count: int = 100, type: Optional[str] = None) -> AsyncIterator[Any]:
        """All keys, page by page without blocking the server. A key present throughout is met at least once."""
        words = scan_words(match, count, type)
        cursor: Word = 0
        while True:
            cursor, keys = await self._read("SCAN", cursor, *words)
            for key in keys:
                yield key
            if int(cursor) == 0:
                return

    # --- vectors

    async def upsert(
        self,
        key: Word,
        data: Any,
        ids: Optional[Ids] = None,
        attributes: Optional[Sequence[Attributes]] = None,
        *,
        id_column: str = "id",
        vector_column: str = "vector",
        attribute_columns: Optional[Sequence[str]] = None,
        quant: Quant = "q8",
        m: int = 16,
        ef: int = 200,
        batch_size: int = 512,
        parallel: int = 2,
        progress: Progress = False,
    ) -> int:
        """Adds or replaces elements of the vector set at ``key``; returns how many ids are new.

        ``data`` is one of

        - an array of shape (n, dim), with ``ids`` (row numbers if None) and ``attributes`` (dicts or JSON) by row;
        - an Arrow table or record batch, anything with the Arrow PyCapsule interface, or a frame of pandas or polars:
          ids in ``id_column``, vectors as lists in ``vector_column``, attributes in ``attribute_columns`` (all others
          if None);
        - an iterable, read as it goes, of (id, vector), (id, vector, attributes) or mappings.

        Batches of ``batch_size`` go out on a connection of their own, ``parallel`` ahead of the server; each is added
        whole or not at all. If one is
        refused, :class:`quiverdb.ResponseError` is raised; others may have been added. ``quant``, ``m`` and ``ef`` as
        VADD knows them; they are fixed by the first element. ``progress`` shows a bar where tqdm is installed, or is a
        function that is told how many more are done.
        """
        source = source_of(data, ids, attributes, id_column, vector_column, attribute_columns, batch_size)
        options = add_options(quant, ef, m)
        new = 0
        with progress_bar(source.total, progress) as advance:
            # The first makes the set, and finds out what the server has.
            for batch in islice(source.batches, 1):
                new += await self._run(_flows.upsert(self, key, batch, options), self._bulk)
                advance(len(batch.ids))
            running: deque[tuple[asyncio.Task[int], int]] = deque()
            try:
                for batch in source.batches:
                    if len(running) > max(parallel, 1):
                        new += await self._finished(running, advance)
                    adding = self._run(_flows.upsert(self, key, batch, options), self._bulk)
                    running.append((asyncio.ensure_future(adding), len(batch.ids)))
                while running:
                    new += await self._finished(running, advance)
            finally:
                for task, _ in running:
                    task.cancel()
        return new

    @staticmethod
    async def _finished(running: deque[tuple[asyncio.Task[int], int]], advance: progress_bar) -> int:
        task, rows = running.popleft()
        new = await task
        advance(rows)
        return new

    async def add(
        self,
        key: Word,
        ids: Ids,
        vectors: Any,
        attributes: Optional[Sequence[Attributes]] = None,
        *,
        quant: Quant = "q8",
        m: int = 16,
        ef: int = 200,
        batch: int = 256,
        progress: Progress = False,
    ) -> int:
        """Adds or replaces elements one after the other, as Redis does: in pipelines of ``batch`` VADD.

        For many elements :meth:`upsert` is several times as fast. ``vectors`` has shape (n, dim), any float type;
        ``attributes`` are dicts or JSON text, by element, and where there are none an element keeps its own. If one
        element is refused, :class:`quiverdb.ResponseError` is raised and elements before it, and some after it, have
        been added. Returns how many ids are new.
        """
        source = source_of(rows_of(ids, vectors), ids, attributes, "id", "vector", None, batch)
        new = 0
        with progress_bar(source.total, progress) as advance:
            for each in source.batches:
                new += await self._run(_flows.add(key, each, add_options(quant, ef, m), batch), self._bulk)
                advance(len(each.ids))
        return new

    @overload
    async def search(self, key: Word, query: Sequence[float], k: int = ..., **options: Unpack[SearchOptions]) -> SearchResult: ...

    @overload
    async def search(self, key: Word, query: NDArray[Any], k: int = ..., **options: Unpack[SearchOptions]) -> Any: ...

    async def search(
        self,
        key: Word,
        query: Any,
        k: int = 10,
        *,
        ef: Optional[int] = None,
        with_attributes: bool = False,
        exact: bool = False,
        filter: Optional[str] = None,
        filter_ef: Optional[int] = None,
        recall: Optional[float] = None,
        epsilon: Optional[float] = None,
    ) -> Any:
        """The ``k`` elements most similar to ``query``.

        ``query`` of shape (dim,) gives a :class:`SearchResult`; of shape (n, dim), what :meth:`search_batch` gives.
        ``ef`` trades time for recall, ``recall`` names the recall to reach, ``exact`` compares with every element.
        ``filter`` is VSIM's expression over attributes (``".year > 1980"``) and ``filter_ef`` the effort spent on it;
        ``epsilon`` the largest distance (1 - cosine) of a hit.
        """
        queries, single = queries_of(query)
        options = search_options(k, ef, exact, filter, filter_ef, recall, epsilon)
        return results_of(await self._run(_flows.search(self, key, queries, options, with_attributes)), single)

    async def search_batch(
        self,
        key: Word,
        queries: Any,
        k: int = 10,
        *,
        ef: Optional[int] = None,
        with_attributes: bool = False,
        exact: bool = False,
        filter: Optional[str] = None,
        filter_ef: Optional[int] = None,
        recall: Optional[float] = None,
        epsilon: Optional[float] = None,
    ) -> SearchResults:
        """As :meth:`search` for each row of ``queries``, shape (n, dim): many in one command."""
        rows, _ = queries_of(queries)
        options = search_options(k, ef, exact, filter, filter_ef, recall, epsilon)
        return SearchResults(results_of(await self._run(_flows.search(self, key, rows, options, with_attributes)), False))

    async def recommend(
        self,
        key: Word,
        positive: Sequence[Word],
        negative: Sequence[Word] = (),
        k: int = 10,
        *,
        ef: Optional[int] = None,
        with_attributes: bool = False,
        exact: bool = False,
        filter: Optional[str] = None,
        filter_ef: Optional[int] = None,
        recall: Optional[float] = None,
        epsilon: Optional[float] = None,
    ) -> SearchResult:
        """The ``k`` elements most similar to those in ``positive`` and dissimilar to those in ``negative``, which are
        not among them."""
        options = search_options(k, ef, exact, filter, filter_ef, recall, epsilon)
        words = recommend_words(key, positive, negative, options, with_attributes)
        result: SearchResult = results_of(await self._connection.vector_hits(words, with_attributes), True)
        return result

    async def remove(self, key: Word, *ids: Word) -> int:
        """Removes elements of a vector set; returns how many there were."""
        return await self._run(_flows.remove(key, ids))

    async def count(self, key: Word) -> int:
        """Number of elements of a vector set; 0 if there is no such key."""
        return int(await self._read("VCARD", key))

    async def dim(self, key: Word) -> int:
        """Dimension of a vector set's vectors."""
        return int(await self._read("VDIM", key))

    async def vector(self, key: Word, id: Word) -> Optional[NDArray[np.float32]]:
        """An element's vector, shape (dim,), as precisely as it is stored; None if there is no such element."""
        values = await self._read("VEMB", key, id)
        return None if values is None else np.asarray(values, dtype=np.float32)

    async def vectors(self, key: Word, ids: Ids) -> NDArray[np.float32]:
        """The vectors of elements, shape (n, dim), in one round trip; a row of NaN where there is no such element."""
        return await self._connection.vectors(key, ids.tolist() if isinstance(ids, np.ndarray) else ids)

    async def attributes(self, key: Word, id: Word) -> Any:
        """An element's attributes: decoded JSON, the text where it is none, None where there are none."""
        return from_json(text_or_none(await self._read("VGETATTR", key, id)))

    async def set_attributes(self, key: Word, id: Word, attributes: Attributes) -> bool:
        """Replaces an element's attributes (None removes them); returns whether there is such an element."""
        return bool(await self.execute("VSETATTR", key, id, to_json(attributes) or ""))

    async def info(self, key: Word) -> dict[str, Any]:
        """What VINFO says of a vector set: quantisation, dimension, size, levels. Empty if there is no such key."""
        return info_of(await self._read("VINFO", key))
