"""Elements out of whatever holds them: arrays, Arrow tables, data frames, iterables.

Columns are taken as wholes, by the library whose they are: no Python object is made per component of a vector or per
number. pyarrow reads everything that has the Arrow PyCapsule interface; pandas and polars frames need only themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

from quiverdb._arrays import Attributes, Ids, float32, rows_of, to_json, words
from quiverdb._native import json_rows


class Elements(NamedTuple):
    """Some elements: ids, vectors of shape (n, dim) in float32, and attributes as JSON text if any have them."""

    ids: Sequence[Any]
    vectors: NDArray[np.float32]
    attributes: Optional[list[Optional[str]]]


class Source(NamedTuple):
    """Elements in batches, and how many there are if that is known."""

    batches: Iterator[Elements]
    total: Optional[int]


def source_of(
    data: Any,
    ids: Optional[Ids],
    attributes: Optional[Sequence[Attributes]],
    id_column: str,
    vector_column: str,
    attribute_columns: Optional[Sequence[str]],
    size: int,
) -> Source:
    """The elements in ``data``: see ``Client.upsert``."""
    if size < 1:
        raise ValueError("batch_size must be at least 1")
    frame = frame_of(data)
    if frame is not None:
        if ids is not None or attributes is not None:
            raise ValueError("a table has its ids and attributes in columns")
        return _of_frame(frame, id_column, vector_column, attribute_columns, size)
    if isinstance(data, np.ndarray) or ids is not None:
        names: Ids = np.arange(len(data)) if ids is None else ids
        rows = rows_of(names, data)
        if attributes is not None and len(attributes) != len(rows):
            raise ValueError(f"{len(attributes)} attributes for {len(rows)} vectors")
        return Source(_of_rows(names, rows, attributes, size), len(rows))
    if not isinstance(data, Iterable):
        raise TypeError(f"cannot read elements from {type(data).__name__}")
    total = len(data) if isinstance(data, Sequence) else None
    return Source(_of_items(iter(data), id_column, vector_column, size), total)


def _of_rows(
    ids: Ids, rows: NDArray[Any], attributes: Optional[Sequence[Attributes]], size: int
) -> Iterator[Elements]:
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        texts = None if attributes is None else [to_json(each) for each in attributes[part]]
        yield Elements(words(ids[part]), float32(rows[part]), texts)


def _of_items(items: Iterator[Any], id_column: str, vector_column: str, size: int) -> Iterator[Elements]:
    """From tuples (id, vector) or (id, vector, attributes), or mappings with all in them."""
    while some := list(islice(items, size)):
        parts = [_item(each, id_column, vector_column) for each in some]
        texts = [to_json(attributes) for _, _, attributes in parts]
        vectors = float32(np.asarray([vector for _, vector, _ in parts]))
        if vectors.ndim != 2:
            raise ValueError("every element needs a vector, all of one length")
        yield Elements([id for id, _, _ in parts], vectors, texts if any(text is not None for text in texts) else None)


def _item(item: Any, id_column: str, vector_column: str) -> tuple[Any, Any, Attributes]:
    if isinstance(item, Mapping):
        rest = {name: value for name, value in item.items() if name not in (id_column, vector_column)}
        return item[id_column], item[vector_column], rest or None
    id, vector, *rest_of = item
    if len(rest_of) > 1:
        raise ValueError("an element is (id, vector) or (id, vector, attributes)")
    return id, vector, rest_of[0] if rest_of else None


Column = tuple[str, str, Any, Optional["NDArray[np.bool_]"]]
"""Name, kind (f, i, b: numpy; s: strings; j: JSON), values, which are missing."""


class Frame:
    """A table, whatever library has made it."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def names(self) -> list[str]:
        return [str(name) for name in self.table.columns]

    def values(self, name: str) -> list[Any]:
        raise NotImplementedError

    def matrix(self, name: str) -> NDArray[Any]:
        raise NotImplementedError

    def column(self, name: str) -> Column:
        raise NotImplementedError


class _Arrow(Frame):
    def names(self) -> list[str]:
        return list(self.table.column_names)

    def values(self, name: str) -> list[Any]:
        return list(self.table.column(name).to_pylist())

    def matrix(self, name: str) -> NDArray[Any]:
        column = self.table.column(name)
        if not hasattr(column.type, "value_type"):
            raise TypeError(f"column {name!r} must be a list of floats per row, not {column.type}")
        column = column.combine_chunks()
        flat = column.flatten()
        if column.null_count or flat.null_count:
            raise ValueError(f"column {name!r} has a row or a component that is null")
        lengths = getattr(column.type, "list_size", 0) or column.value_lengths().to_numpy(zero_copy_only=False)
        return _matrix(flat.to_numpy(zero_copy_only=False), len(column), lengths, name)

    def column(self, name: str) -> Column:
        column = self.table.column(name)
        missing = column.is_null().to_numpy() if column.null_count else None
        kind = str(column.type)
        if kind.startswith(("float", "double", "halffloat")):
            return name, "f", column.to_numpy().astype(np.float64), missing
        if kind.startswith(("int", "uint")):
            return name, "i", column.fill_null(0).to_numpy().astype(np.int64), missing
        if kind == "bool":
            return name, "b", column.fill_null(False).to_numpy().astype(np.bool_), missing
        return _objects(name, column.to_pylist())


class _Pandas(Frame):
    def values(self, name: str) -> list[Any]:
        return list(self.table[name].tolist())

    def matrix(self, name: str) -> NDArray[Any]:
        return _stacked(self.table[name].tolist(), name)

    def column(self, name: str) -> Column:
        series = self.table[name]
        gaps = series.isna().to_numpy()
        missing = gaps if gaps.any() else None
        numbers = _numbers(name, series, missing)
        return numbers or _objects(name, [None if gap else value for value, gap in zip(series.tolist(), gaps)])


class _Polars(Frame):
    def values(self, name: str) -> list[Any]:
        return list(self.table[name].to_list())

    def matrix(self, name: str) -> NDArray[Any]:
        series = self.table[name]
        if series.null_count():
            raise ValueError(f"column {name!r} has a row that is null")
        if str(series.dtype).startswith("Array"):
            return np.asarray(series.to_numpy())
        if not str(series.dtype).startswith("List"):
            raise TypeError(f"column {name!r} must be a list of floats per row, not {series.dtype}")
        return _matrix(series.explode().to_numpy(), len(series), series.list.len().to_numpy(), name)

    def column(self, name: str) -> Column:
        series = self.table[name]
        missing = series.is_null().to_numpy() if series.null_count() else None
        return _numbers(name, series, missing) or _objects(name, series.to_list())


def frame_of(data: Any) -> Optional[Frame]:
    """``data`` as a table, if it is one."""
    home = type(data).__module__.partition(".")[0]
    if home == "pandas" and hasattr(data, "columns"):
        return _Pandas(data)
    if home == "polars" and hasattr(data, "columns"):
        return _Polars(data)
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        import pyarrow  # type: ignore[import-untyped,unused-ignore]

        return _Arrow(pyarrow.table(data))
    return None


def _of_frame(
    frame: Frame, id_column: str, vector_column: str, attribute_columns: Optional[Sequence[str]], size: int
) -> Source:
    names = frame.names()
    for name in [id_column, vector_column, *(attribute_columns or ())]:
        if name not in names:
            raise ValueError(f"no column {name!r}: there are {', '.join(names)}")
    ids, rows = frame.values(id_column), frame.matrix(vector_column)
    if attribute_columns is None:
        attribute_columns = [name for name in names if name not in (id_column, vector_column)]
    columns = [frame.column(name) for name in attribute_columns]
    texts = json_rows(columns, len(ids)) if columns else None
    return Source(_of_rows(ids, rows, texts, size), len(ids))


def _matrix(flat: NDArray[Any], rows: int, lengths: Any, name: str) -> NDArray[Any]:
    """Rows of one length out of all their components."""
    if rows == 0:
        return flat.reshape(0, 0)
    dim = lengths if isinstance(lengths, int) else int(lengths[0])
    if not isinstance(lengths, int) and (lengths != dim).any():
        raise ValueError(f"column {name!r} has vectors of different lengths")
    return flat.reshape(rows, dim)


def _stacked(vectors: list[Any], name: str) -> NDArray[Any]:
    try:
        rows = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"column {name!r} must have a vector in each row, all of one length") from None
    return rows if len(vectors) else rows.reshape(0, 0)


def _numbers(name: str, series: Any, missing: Optional[NDArray[np.bool_]]) -> Optional[Column]:
    """A column of numbers or truth values of pandas or polars, whose missing values have any value."""
    kind = str(series.dtype).lower()
    if kind.startswith("float"):
        return name, "f", np.ascontiguousarray(series.to_numpy(), dtype=np.float64), missing
    numpy_kind = "i" if kind.startswith(("int", "uint")) else "b" if kind.startswith("bool") else None
    if numpy_kind is None:
        return None
    if missing is not None:
        filler = 0 if numpy_kind == "i" else False
        series = series.fillna(filler) if hasattr(series, "fillna") else series.fill_null(filler)
    dtype = np.int64 if numpy_kind == "i" else np.bool_
    return name, numpy_kind, np.ascontiguousarray(series.to_numpy(), dtype=dtype), missing


def _objects(name: str, values: list[Any]) -> Column:
    """A column of anything: strings, or what JSON makes of it."""
    if all(value is None or isinstance(value, str) for value in values):
        return name, "s", values, None
    return name, "j", [None if value is None else json.dumps(value, default=str) for value in values], None
