"""The blocking client: commands by name, and vectors in bulk.

Bulk goes by VMADD over RESP rather than as Arrow batches over gRPC or Flight, although the server takes those, too: it
was measured. Of 100,000 vectors of 384 components on two cores the server spends 220 and 299 us each by RESP, 240 and 308
by Flight's DoPut in the same batches of 512 (two rounds, one after the other), at 7,481 and 5,754 against 6,844 and 5,490
a second: nearly all of it is the linking, and of the rest RESP takes less. So there is one connection to open and one
protocol to authenticate.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, overload

import numpy as np
from numpy.typing import NDArray

from quiverdb import _flows
from quiverdb._arrays import Attributes, Ids, Progress, Text, Word, progress_bar, queries_of, rows_of, to_json
from quiverdb._flows import Flow, T, run, text_or_none
from quiverdb._native import Connection
from quiverdb._settings import Configured
from quiverdb._tables import source_of
from quiverdb._words import (
    Quant, add_options, flat, hset_words, info_of, native_settings, recommend_words, scan_words,
    search_options, set_words,
)
from quiverdb.features import Features
from quiverdb.results import SearchResult, SearchResults, from_json, results_of
from quiverdb.semantic_cache import SemanticCache

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from quiverdb._words import SearchOptions

# Queries worth a connection and a thread of their own.
_QUERIES_PER_THREAD = 64


class Client(Configured):
    """A connection to a Quiver (or Redis) server.

    Values come back as ``bytes``, or as ``str`` with ``decode=True``; element ids of vector sets are always ``str``.
    It may be shared between threads: calls of commands take turns on one connection, additions and searches of vectors
    use further ones. ``timeout`` is the longest silence to bear, in seconds (None: no limit). ``retry`` says what is
    tried again after a failure (None: nothing). A client can be pickled, and used after a fork: the copy connects anew.
    """

    def _connect(self, settings: dict[str, Any]) -> None:
        self._connection = Connection(*native_settings(settings))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; later calls raise :class:`quiverdb.ConnectionError`."""
        self._connection.close()

    # --- anything

    def execute(self, *words: Word) -> Any:
        """Runs any command and returns its reply.

        Raises :class:`quiverdb.ResponseError` if the reply is an error.
        """
        return self._connection.execute(words, False, False)

    def pipeline(self, commands: Iterable[Sequence[Word]]) -> list[Any]:
        """Runs commands in one round trip. An error takes the place of its reply and is not raised."""
        return list(self._connection.pipeline(commands, False))

    def ping(self) -> bool:
        """Whether the server answers."""
        return bool(self.execute("PING") == "PONG")

    def _read(self, *words: Word) -> Any:
        return self._connection.execute(words, True, False)

    def _raw(self, *words: Word) -> Any:
        """A read whose strings stay bytes."""
        return self._connection.execute(words, True, True)

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._connection)

    @cached_property
    def features(self) -> Features:
        """Features of entities, by view."""
        return Features(self)

    def semantic_cache(self, name: str) -> SemanticCache:
        """The cache of this name, which is made when it is first written to or configured."""
        return SemanticCache(self, name)

    # --- keys

    def get(self, key: Word) -> Any:
        """The string at ``key``, None if there is no such key."""
        return self._read("GET", key)

    def set(
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
        return self.execute(*set_words(key, value, ex, px, nx, xx)) is not None

    def delete(self, *keys: Word) -> int:
        """Deletes keys; returns how many there were."""
        return int(self.execute("DEL", *keys))

    def exists(self, *keys: Word) -> int:
        """How many of the keys exist."""
        return int(self._read("EXISTS", *keys))

    def expire(self, key: Word, seconds: int) -> bool:
        """Lets ``key`` expire; returns whether it exists."""
        return bool(self.execute("EXPIRE", key, seconds))

    def ttl(self, key: Word) -> int:
        """Seconds left to live; -1 if ``key`` does not expire, -2 if it does not exist."""
        return int(self._read("TTL", key))

    def incr(self, key: Word, by: int = 1) -> int:
        """Adds to the integer at ``key``; returns the sum."""
        return int(self.execute("INCRBY", key, by))

    def mget(self, keys: Iterable[Word]) -> list[Any]:
        """The strings at several keys, None where there is none."""
        keys = list(keys)
        return list(self._read("MGET", *keys)) if keys else []

    def mset(self, values: Mapping[Any, Word]) -> None:
        """Sets several keys at once."""
        if values:
            self.execute("MSET", *flat(values))

    def hset(
        self,
        key: Word,
        field: Optional[Word] = None,
        value: Optional[Word] = None,
        mapping: Optional[Mapping[Any, Word]] = None,
    ) -> int:
        """Sets one field, those of ``mapping``, or both; returns how many are new."""
        return int(self.execute(*hset_words(key, field, value, mapping)))

    def hget(self, key: Word, field: Word) -> Any:
        """A field's value, None if there is none."""
        return self._read("HGET", key, field)

    def hgetall(self, key: Word) -> dict[Any, Any]:
        """All fields and values of a hash; empty if there is no such key."""
        return dict(self._read("HGETALL", key))

    def scan_iter(self, match: Optional[Text] = None, count: int = 100, type: Optional[str] = None) -> Iterator[Any]:
        """All keys, page by page without blocking the server. A key present throughout is met at least once."""
        words = scan_words(match, count, type)
        cursor: Word = 0
        while True:
            cursor, keys = self._read("SCAN", cursor, *words)
            yield from keys
            if int(cursor) == 0:
                return

    # --- vectors

    def upsert(
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

        Batches of ``batch_size`` go out on ``parallel`` connections; each is added whole or not at all. If one is
        refused, :class:`quiverdb.ResponseError` is raised; others may have been added. ``quant``, ``m`` and ``ef`` as
        VADD knows them; they are fixed by the first element. ``progress`` shows a bar where tqdm is installed, or is a
        function that is told how many more are done.
        """
        source = source_of(data, ids, attributes, id_column, vector_column, attribute_columns, batch_size)
        options = add_options(quant, ef, m)
        new = 0
        with progress_bar(source.total, progress) as advance:
            if parallel < 2:
                for batch in source.batches:
                    new += self._run(_flows.upsert(self, key, batch, options))
                    advance(len(batch.ids))
                return new
            # The first makes the set, and finds out what the server has.
            for batch in source.batches:
                new += self._run(_flows.upsert(self, key, batch, options))
                advance(len(batch.ids))
                break
            with ThreadPoolExecutor(parallel, "quiverdb-upsert") as pool:
                running: deque[tuple[Future[int], int]] = deque()
                try:
                    for batch in source.batches:
                        if len(running) > parallel:
                            new += self._finished(running, advance)
                        running.append((pool.submit(self._run, _flows.upsert(self, key, batch, options)), len(batch.ids)))
                    while running:
                        new += self._finished(running, advance)
                finally:
                    for future, _ in running:
                        future.cancel()
        return new

    @staticmethod
    def _finished(running: deque[tuple[Future[int], int]], advance: progress_bar) -> int:
        future, rows = running.popleft()
        new = future.result()
        advance(rows)
        return new

    def add(
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
                new += self._run(_flows.add(key, each, add_options(quant, ef, m), batch))
                advance(len(each.ids))
        return new

    @overload
    def search(self, key: Word, query: Sequence[float], k: int = ..., **options: Unpack[SearchOptions]) -> SearchResult: ...

    @overload
    def search(self, key: Word, query: NDArray[Any], k: int = ..., **options: Unpack[SearchOptions]) -> Any: ...

    def search(
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
        return results_of(self._run(_flows.search(self, key, queries, options, with_attributes)), single)

    def search_batch(
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
        parallel: Optional[int] = None,
    ) -> SearchResults:
        """As :meth:`search` for each row of ``queries``, shape (n, dim): many in one command, on up to ``parallel``
        connections (as many as there are cores, if None)."""
        rows, _ = queries_of(queries)
        options = search_options(k, ef, exact, filter, filter_ef, recall, epsilon)
        threads = min(parallel or min(os.cpu_count() or 1, 8), len(rows) // _QUERIES_PER_THREAD)
        if threads < 2:
            return SearchResults(results_of(self._run(_flows.search(self, key, rows, options, with_attributes)), False))
        with ThreadPoolExecutor(threads, "quiverdb-search") as pool:
            parts = np.array_split(rows, threads)
            found = pool.map(lambda part: self._run(_flows.search(self, key, part, options, with_attributes)), parts)
            return SearchResults(result for part in found for result in results_of(part, False))

    def recommend(
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
        result: SearchResult = results_of(self._connection.vector_hits(words, with_attributes), True)
        return result

    def remove(self, key: Word, *ids: Word) -> int:
        """Removes elements of a vector set; returns how many there were."""
        return self._run(_flows.remove(key, ids))

    def count(self, key: Word) -> int:
        """Number of elements of a vector set; 0 if there is no such key."""
        return int(self._read("VCARD", key))

    def dim(self, key: Word) -> int:
        """Dimension of a vector set's vectors."""
        return int(self._read("VDIM", key))

    def vector(self, key: Word, id: Word) -> Optional[NDArray[np.float32]]:
        """An element's vector, shape (dim,), as precisely as it is stored; None if there is no such element."""
        values = self._read("VEMB", key, id)
        return None if values is None else np.asarray(values, dtype=np.float32)

    def vectors(self, key: Word, ids: Ids) -> NDArray[np.float32]:
        """The vectors of elements, shape (n, dim), in one round trip; a row of NaN where there is no such element."""
        return self._connection.vectors(key, ids.tolist() if isinstance(ids, np.ndarray) else ids)

    def attributes(self, key: Word, id: Word) -> Any:
        """An element's attributes: decoded JSON, the text where it is none, None where there are none."""
        return from_json(text_or_none(self._read("VGETATTR", key, id)))

    def set_attributes(self, key: Word, id: Word, attributes: Attributes) -> bool:
        """Replaces an element's attributes (None removes them); returns whether there is such an element."""
        return bool(self.execute("VSETATTR", key, id, to_json(attributes) or ""))

    def info(self, key: Word) -> dict[str, Any]:
        """What VINFO says of a vector set: quantisation, dimension, size, levels. Empty if there is no such key."""
        return info_of(self._read("VINFO", key))
