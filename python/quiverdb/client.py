"""The client: one connection, its commands by name, and vectors in bulk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Optional, Union, overload

import numpy as np
from numpy.typing import NDArray

from quiverdb._arrays import Ids, Text, Word, float32, progress_bar, queries_of, rows_of, words
from quiverdb._native import Connection
from quiverdb.results import SearchResult

Attributes = Union[Mapping[str, Any], str, None]


class Client:
    """A connection to a Quiver (or Redis) server.

    Values come back as ``bytes``, or as ``str`` with ``decode=True``; element ids of vector sets are always ``str``.
    It may be shared between threads, which then take turns. After a failure the next call connects again; nothing is
    retried on its own. ``timeout`` is the longest silence to bear, in seconds (None: no limit).
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 6379,
        password: Optional[str] = None,
        db: int = 0,
        timeout: Optional[float] = 5.0,
        *,
        username: Optional[str] = None,
        decode: bool = False,
    ) -> None:
        self._connection = Connection(host, port, (username, password), db, timeout, decode)

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
        return self._connection.execute(*words)

    def pipeline(self, commands: Iterable[Sequence[Word]]) -> list[Any]:
        """Runs commands in one round trip. An error takes the place of its reply and is not raised."""
        return self._connection.pipeline(commands)

    def ping(self) -> bool:
        """Whether the server answers."""
        return bool(self.execute("PING") == "PONG")

    # --- keys

    def get(self, key: Word) -> Any:
        """The string at ``key``, None if there is no such key."""
        return self.execute("GET", key)

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
        words: list[Word] = ["SET", key, value]
        if ex is not None:
            words += ["EX", ex]
        if px is not None:
            words += ["PX", px]
        if nx:
            words.append("NX")
        if xx:
            words.append("XX")
        return self.execute(*words) is not None

    def delete(self, *keys: Word) -> int:
        """Deletes keys; returns how many there were."""
        return int(self.execute("DEL", *keys))

    def exists(self, *keys: Word) -> int:
        """How many of the keys exist."""
        return int(self.execute("EXISTS", *keys))

    def expire(self, key: Word, seconds: int) -> bool:
        """Lets ``key`` expire; returns whether it exists."""
        return bool(self.execute("EXPIRE", key, seconds))

    def ttl(self, key: Word) -> int:
        """Seconds left to live; -1 if ``key`` does not expire, -2 if it does not exist."""
        return int(self.execute("TTL", key))

    def incr(self, key: Word, by: int = 1) -> int:
        """Adds to the integer at ``key``; returns the sum."""
        return int(self.execute("INCRBY", key, by))

    def mget(self, keys: Iterable[Word]) -> list[Any]:
        """The strings at several keys, None where there is none."""
        keys = list(keys)
        return list(self.execute("MGET", *keys)) if keys else []

    def mset(self, values: Mapping[Any, Word]) -> None:
        """Sets several keys at once."""
        if values:
            self.execute("MSET", *_flat(values))

    def hset(
        self,
        key: Word,
        field: Optional[Word] = None,
        value: Optional[Word] = None,
        mapping: Optional[Mapping[Any, Word]] = None,
    ) -> int:
        """Sets one field, those of ``mapping``, or both; returns how many are new."""
        words = _flat(mapping or {})
        if field is not None and value is not None:
            words = [field, value, *words]
        return int(self.execute("HSET", key, *words))

    def hget(self, key: Word, field: Word) -> Any:
        """A field's value, None if there is none."""
        return self.execute("HGET", key, field)

    def hgetall(self, key: Word) -> dict[Any, Any]:
        """All fields and values of a hash; empty if there is no such key."""
        return dict(self.execute("HGETALL", key))

    def scan_iter(self, match: Optional[Text] = None, count: int = 100, type: Optional[str] = None) -> Iterator[Any]:
        """All keys, page by page without blocking the server. A key present throughout is met at least once."""
        words: list[Word] = ["COUNT", count]
        if match is not None:
            words += ["MATCH", match]
        if type is not None:
            words += ["TYPE", type]
        cursor: Word = 0
        while True:
            cursor, keys = self.execute("SCAN", cursor, *words)
            yield from keys
            if int(cursor) == 0:
                return

    # --- vectors

    def add(
        self,
        key: Word,
        ids: Ids,
        vectors: Any,
        attributes: Optional[Sequence[Attributes]] = None,
        *,
        quant: Literal["q8", "noquant", "bin"] = "q8",
        m: int = 16,
        ef: int = 200,
        batch: int = 256,
        progress: bool = False,
    ) -> int:
        """Adds or replaces elements of the vector set at ``key``.

        ``vectors`` has shape (n, dim), any float type; float32 in C order goes to the wire without conversion.
        ``attributes`` are dicts or JSON text, by element. ``quant``, ``m`` and ``ef`` as VADD knows them. Sent in
        pipelines of ``batch``; if one element is refused, :class:`quiverdb.ResponseError` is raised and elements
        before it, and some after it, have been added. ``progress`` shows a bar where tqdm is installed.

        Returns how many ids are new.
        """
        rows = rows_of(ids, vectors)
        if attributes is not None and len(attributes) != len(rows):
            raise ValueError(f"{len(attributes)} attributes for {len(rows)} vectors")
        if batch < 1:
            raise ValueError("batch must be at least 1")
        options: list[Word] = [quant.upper(), "EF", ef, "M", m]
        new = 0
        with progress_bar(len(rows), progress) as advance:
            for start in range(0, len(rows), batch):
                part = slice(start, start + batch)
                texts = None if attributes is None else [_to_json(each) for each in attributes[part]]
                new += self._connection.vector_add(key, words(ids[part]), float32(rows[part]), texts, options)
                advance(min(batch, len(rows) - start))
        return new

    @overload
    def search(
        self,
        key: Word,
        query: Sequence[float],
        k: int = ...,
        *,
        ef: Optional[int] = ...,
        with_attributes: bool = ...,
        exact: bool = ...,
        filter: Optional[str] = ...,
        filter_ef: Optional[int] = ...,
    ) -> SearchResult: ...

    @overload
    def search(
        self,
        key: Word,
        query: NDArray[Any],
        k: int = ...,
        *,
        ef: Optional[int] = ...,
        with_attributes: bool = ...,
        exact: bool = ...,
        filter: Optional[str] = ...,
        filter_ef: Optional[int] = ...,
    ) -> Any: ...

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
    ) -> Any:
        """The ``k`` elements most similar to ``query``.

        ``query`` of shape (dim,) gives a :class:`SearchResult`; of shape (n, dim), a list of n, in one round trip.
        ``ef`` trades time for recall, ``exact`` compares with every element, ``filter`` is VSIM's expression over
        attributes (``".year > 1980"``) and ``filter_ef`` the effort spent on it.
        """
        queries, single = queries_of(query)
        options: list[Word] = ["COUNT", k]
        if ef is not None:
            options += ["EF", ef]
        if filter is not None:
            options += ["FILTER", filter]
        if filter_ef is not None:
            options += ["FILTER-EF", filter_ef]
        if exact:
            options.append("TRUTH")
        found = self._connection.vector_search(key, queries, options, with_attributes)
        results = [
            SearchResult(ids, scores, None if texts is None else [_from_json(text) for text in texts])
            for ids, scores, texts in found
        ]
        return results[0] if single else results

    def remove(self, key: Word, *ids: Word) -> int:
        """Removes elements of a vector set; returns how many there were."""
        return sum(map(bool, self._all("VREM", key, ids)))

    def count(self, key: Word) -> int:
        """Number of elements of a vector set; 0 if there is no such key."""
        return int(self.execute("VCARD", key))

    def dim(self, key: Word) -> int:
        """Dimension of a vector set's vectors."""
        return int(self.execute("VDIM", key))

    def vector(self, key: Word, id: Word) -> Optional[NDArray[np.float32]]:
        """An element's vector, shape (dim,), as precisely as it is stored; None if there is no such element."""
        values = self.execute("VEMB", key, id)
        return None if values is None else np.asarray(values, dtype=np.float32)

    def attributes(self, key: Word, id: Word) -> Any:
        """An element's attributes: decoded JSON, the text where it is none, None where there are none."""
        text = self.execute("VGETATTR", key, id)
        return _from_json(text.decode() if isinstance(text, bytes) else text)

    def set_attributes(self, key: Word, id: Word, attributes: Attributes) -> bool:
        """Replaces an element's attributes (None removes them); returns whether there is such an element."""
        return bool(self.execute("VSETATTR", key, id, _to_json(attributes) or ""))

    def info(self, key: Word) -> dict[str, Any]:
        """What VINFO says of a vector set: quantisation, dimension, size, levels. Empty if there is no such key."""
        return {_text(name): _text(value) for name, value in dict(self.execute("VINFO", key) or {}).items()}

    def _all(self, command: str, key: Word, ids: Iterable[Word]) -> list[Any]:
        replies = self.pipeline([command, key, id] for id in ids)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


def _flat(values: Mapping[Any, Word]) -> list[Word]:
    return [word for pair in values.items() for word in pair]


def _to_json(attributes: Attributes) -> Optional[str]:
    if attributes is None or isinstance(attributes, str):
        return attributes
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))


def _from_json(text: Optional[str]) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
