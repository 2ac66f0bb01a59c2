"""Features of entities: views, writes by event time, and reads of many entities by columns (the FEAT commands).

An entity's features are fields of an ordinary hash, so everything that knows hashes sees them. A value carries the time
it was true at and never overwrites a newer one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
from numpy.typing import NDArray

from quiverdb._arrays import Ids, Word, words
from quiverdb._flows import Flow
from quiverdb._tables import frame_of
from quiverdb._words import flat, pairs_of, text_of
from quiverdb.results import Columns

if TYPE_CHECKING:
    from quiverdb.aio import AsyncClient
    from quiverdb.client import Client

Time = Union[datetime, int, None]
"""A time an application names: unix milliseconds, a datetime, or None for now."""

Views = Union[str, Sequence[str], Mapping[str, Optional[Sequence[str]]]]
"""A view, several, or the features wanted of each (None: all)."""

# Stands for a value that is none, which no text or number of an application's is.
_NULL = b"\x00null\x00"
# Values of one FEAT.MPUT.
_CELLS_PER_COMMAND = 20_000

_DTYPES = {"f64": "<f8", "f32": "<f4", "i64": "<i8", "timestamp": "<i8", "bool": "?"}


class Status:
    """What is said of a value, as bytes: see :attr:`FeatureTable.statuses`."""

    PRESENT = b"P"
    NULL = b"N"
    """The feature was said to have no value."""
    NOT_FOUND = b"-"
    """Nothing was said, or it has expired."""
    OUTSIDE_MAX_AGE = b"O"
    """Older than the view's readers accept."""
    INVALID = b"!"
    """What is stored is no value of the feature's type."""


@dataclass(frozen=True)
class Feature:
    """A feature's type (f64, f32, i64, bool, timestamp, string or vector(dim)), and how long its values live, in
    seconds."""

    type: str
    ttl: Optional[int] = None


@dataclass(frozen=True)
class View:
    """A view: where its entities are, and which features they have. Times in seconds."""

    name: str
    prefix: str
    features: dict[str, Feature]
    ttl: Optional[int]
    max_age: Optional[int]


class FeatureTable(Columns):
    """Features by column, with a row for each entity.

    A column goes by its feature's name, or ``view:feature`` where several views were read. Numbers are numpy arrays,
    vectors arrays of shape (n, dim), strings lists. Where there is no value there is NaN, 0, False or None: ask
    :attr:`statuses` where that matters.
    """

    def __init__(self, entities: list[Any]) -> None:
        self.entities = entities
        self.columns: dict[str, Any] = {}
        self.statuses: dict[str, NDArray[np.bytes_]] = {}
        """For each column one of :class:`Status` per entity, dtype S1."""
        self.times: dict[str, NDArray[np.int64]] = {}
        """For each column the event times, unix ms, where asked for; 0 where there is none."""

    def present(self, column: str) -> NDArray[np.bool_]:
        """Which entities have a value."""
        return np.asarray(self.statuses[column] == Status.PRESENT)

    def __getitem__(self, column: str) -> Any:
        return self.columns[column]

    def __len__(self) -> int:
        return len(self.entities)

    def to_dict(self) -> dict[str, Any]:
        """Entities and features by column; missing numbers are None or NaN, vectors lists."""
        return {"entity": self.entities, **{name: self._whole(name) for name in self.columns}}

    def _whole(self, name: str) -> Any:
        column = self.columns[name]
        if isinstance(column, list) or column.dtype.kind == "f" and column.ndim == 1:
            return column
        present = self.present(name)
        if present.all() and column.ndim == 1:
            return column
        return [value if there else None for value, there in zip(column.tolist(), present)]


def create_words(
    name: str,
    prefix: str,
    features: Mapping[str, Union[str, Feature]],
    ttl: Optional[int],
    max_age: Optional[int],
    replace: bool,
) -> list[Word]:
    """FEAT.VIEW CREATE."""
    command: list[Word] = ["FEAT.VIEW", "CREATE", name]
    if replace:
        command.append("REPLACE")
    command += ["PREFIX", prefix]
    if ttl is not None:
        command += ["TTL", ttl]
    if max_age is not None:
        command += ["MAXAGE", max_age]
    command.append("FEATURES")
    for feature, how in features.items():
        how = Feature(how) if isinstance(how, str) else how
        command += [feature, how.type]
        if how.ttl is not None:
            command += ["TTL", how.ttl]
    return command


def view_of(reply: Any) -> View:
    """What FEAT.VIEW INFO says."""
    told = {text_of(key): value for key, value in pairs_of(reply)}
    features = {}
    for each in told["features"]:
        one = {text_of(key): value for key, value in pairs_of(each)}
        features[text_of(one["name"])] = Feature(text_of(one["type"]), one["ttl"])
    return View(text_of(told["name"]), text_of(told["prefix"]), features, told["ttl"], told["max-age"])


def put_words(view: str, entity: Word, values: Mapping[str, Any], at: Time) -> list[Word]:
    """FEAT.PUT."""
    pairs = flat({name: _word(value) for name, value in values.items()})
    return ["FEAT.PUT", view, entity, "AT", _time(at), "NULL", _NULL, *pairs]


def mput_commands(
    view: str, data: Any, entity_column: str, time_column: Optional[str], at: Time
) -> Iterator[list[Word]]:
    """FEAT.MPUT, as many as it takes."""
    frame = frame_of(data)
    if frame is not None:
        columns: dict[str, Sequence[Any]] = {name: frame.values(name) for name in frame.names()}
    elif isinstance(data, Mapping):
        columns = {name: words(column) for name, column in data.items()}
    else:
        rows = list(data)
        columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(chain.from_iterable(rows))}
    entities = columns.pop(entity_column)
    times = [_time(each) for each in columns.pop(time_column)] if time_column else [_time(at)] * len(entities)
    features = list(columns)
    values = [[_word(value) for value in column] for column in columns.values()]
    cells = zip(entities, times, *values)
    head: list[Word] = ["FEAT.MPUT", view, "NULL", _NULL, "FEATURES", len(features), *features, "ROWS"]
    size = max(1, _CELLS_PER_COMMAND // (len(features) + 2))
    while part := list(islice(cells, size)):
        yield [*head, len(part), *chain.from_iterable(part)]


def get_words(entities: Sequence[Word], views: Views, with_times: bool) -> list[Word]:
    """FEAT.GET, packed."""
    command: list[Word] = ["FEAT.GET", "ENTITIES", len(entities), *entities]
    for view, features in _wanted(views).items():
        command += ["VIEW", view]
        if features is not None:
            command += ["FEATURES", len(features), *features]
    if with_times:
        command.append("WITHTIMES")
    return [*command, "PACKED"]


def _wanted(views: Views) -> dict[str, Optional[Sequence[str]]]:
    if isinstance(views, str):
        return {views: None}
    return dict(views) if isinstance(views, Mapping) else {view: None for view in views}


def names_of(views: Views) -> list[str]:
    """The names of the views."""
    return list(_wanted(views))


def table_of(entities: list[Any], reply: Any, known: Mapping[str, View]) -> FeatureTable:
    """The columns of a packed answer."""
    table = FeatureTable(entities)
    several = len(reply) > 1
    for view, columns in pairs_of(reply):
        for feature, column in pairs_of(columns):
            view, feature = text_of(view), text_of(feature)
            name = f"{view}:{feature}" if several else feature
            table.columns[name] = _column(known[view].features[feature].type, column[0], len(entities))
            table.statuses[name] = np.frombuffer(column[1], dtype="S1")
            if len(column) > 2:
                table.times[name] = np.frombuffer(column[2], dtype="<i8")
    return table


def _column(type: str, values: Any, rows: int) -> Any:
    if type == "string":
        return [text_of(value) for value in values]
    if type.startswith("vector"):
        return np.frombuffer(values, dtype="<f4").reshape(rows, -1)
    return np.frombuffer(values, dtype=_DTYPES[type])


def _word(value: Any) -> Word:
    """A value of an application's as FEAT takes it."""
    if isinstance(value, (np.ndarray, list, tuple)):
        return np.asarray(value, dtype="<f4").tobytes()
    if value is None or value != value:  # NaN, and what pandas has for a missing time
        return _NULL
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (datetime, np.datetime64)):
        return _time(value)
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[no-any-return]


def _time(at: Any) -> Word:
    if at is None:
        return "*"
    if isinstance(at, datetime):
        return round(at.timestamp() * 1000)
    if isinstance(at, np.datetime64):
        return int(at.astype("datetime64[ms]").astype(np.int64))
    return int(at)


def _described(views: dict[str, View], name: str) -> Flow[View]:
    """Reads what a view is, and keeps it in ``views``."""
    told = yield lambda link: link.execute(("FEAT.VIEW", "INFO", name), True, False)
    described = views[name] = view_of(told)
    return described


def _looked_up(views: dict[str, View], entities: list[Any], wanted: Views, with_times: bool) -> Flow[FeatureTable]:
    """Features of entities, whose views are described in ``views`` or will be."""
    for name in names_of(wanted):
        if name not in views:
            yield from _described(views, name)
    words = tuple(get_words(entities, wanted, with_times))
    reply = yield lambda link: link.execute(words, True, True)
    try:
        return table_of(entities, reply, views)
    except (KeyError, ValueError):
        # Somebody has changed a view: its description is read again, once.
        for name in names_of(wanted):
            yield from _described(views, name)
        return table_of(entities, (yield lambda link: link.execute(words, True, True)), views)


def _stored(commands: Iterable[Sequence[Word]]) -> Flow[int]:
    """Stores values by FEAT.MPUT; how many were stored."""
    stored = 0
    for command in commands:
        words = tuple(command)
        stored += sum((yield lambda link: link.execute(words, False, False)))
    return stored


class Features:
    """The features of a client's server: ``client.features``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._views: dict[str, View] = {}

    def create_view(
        self,
        name: str,
        prefix: str,
        features: Mapping[str, Union[str, Feature]],
        *,
        ttl: Optional[int] = None,
        max_age: Optional[int] = None,
        replace: bool = False,
    ) -> None:
        """Defines a view of the hashes whose keys are ``prefix`` and the name of an entity. Values live for ``ttl``
        seconds, and are given to readers up to the age of ``max_age``."""
        self._client.execute(*create_words(name, prefix, features, ttl, max_age, replace))
        self._views.pop(name, None)

    def drop_view(self, name: str) -> bool:
        """Forgets a view; the hashes stay. Returns whether there was one."""
        self._views.pop(name, None)
        return bool(self._client.execute("FEAT.VIEW", "DROP", name))

    def view(self, name: str) -> View:
        """Describes a view."""
        return self._client._run(_described(self._views, name))

    def views(self) -> list[str]:
        """The names of all views."""
        return [text_of(name) for name in self._client.execute("FEAT.VIEW", "LIST")]

    def put(self, view: str, entity: Word, values: Mapping[str, Any], at: Time = None) -> dict[str, bool]:
        """Stores values (None: there is none) that were true ``at`` a time, unless newer ones are there; which were
        stored."""
        stored = self._client.execute(*put_words(view, entity, values, at))
        return dict(zip(values, map(bool, stored)))

    def put_many(
        self, view: str, data: Any, entity_column: str = "entity", time_column: Optional[str] = None, at: Time = None
    ) -> int:
        """Stores values of many entities; how many were stored.

        ``data`` is a table or frame as ``Client.upsert`` takes, a mapping from names to columns, or an iterable of
        mappings by row. All columns but ``entity_column`` and ``time_column`` are features; without the latter all
        were true ``at`` one time.
        """
        return self._client._run(_stored(mput_commands(view, data, entity_column, time_column, at)))

    def get(self, entities: Ids, views: Views, *, with_times: bool = False) -> FeatureTable:
        """Features of many entities from one view or several, in one call of one moment."""
        return self._client._run(_looked_up(self._views, list(words(entities)), views, with_times))


class AsyncFeatures:
    """As :class:`Features`, to be awaited."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._views: dict[str, View] = {}

    async def create_view(
        self,
        name: str,
        prefix: str,
        features: Mapping[str, Union[str, Feature]],
        *,
        ttl: Optional[int] = None,
        max_age: Optional[int] = None,
        replace: bool = False,
    ) -> None:
        """See :meth:`Features.create_view`."""
        await self._client.execute(*create_words(name, prefix, features, ttl, max_age, replace))
        self._views.pop(name, None)

    async def drop_view(self, name: str) -> bool:
        """See :meth:`Features.drop_view`."""
        self._views.pop(name, None)
        return bool(await self._client.execute("FEAT.VIEW", "DROP", name))

    async def view(self, name: str) -> View:
        """See :meth:`Features.view`."""
        return await self._client._run(_described(self._views, name))

    async def views(self) -> list[str]:
        """See :meth:`Features.views`."""
        return [text_of(name) for name in await self._client.execute("FEAT.VIEW", "LIST")]

    async def put(self, view: str, entity: Word, values: Mapping[str, Any], at: Time = None) -> dict[str, bool]:
        """See :meth:`Features.put`."""
        stored = await self._client.execute(*put_words(view, entity, values, at))
        return dict(zip(values, map(bool, stored)))

    async def put_many(
        self, view: str, data: Any, entity_column: str = "entity", time_column: Optional[str] = None, at: Time = None
    ) -> int:
        """See :meth:`Features.put_many`."""
        return await self._client._run(_stored(mput_commands(view, data, entity_column, time_column, at)))

    async def get(self, entities: Ids, views: Views, *, with_times: bool = False) -> FeatureTable:
        """See :meth:`Features.get`."""
        return await self._client._run(_looked_up(self._views, list(words(entities)), views, with_times))
