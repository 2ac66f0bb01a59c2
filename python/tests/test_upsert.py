"""Elements from everything that holds them, and what comes back as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import quiverdb
from quiverdb._native import json_rows

N, DIM = 700, 12
RNG = np.random.default_rng(5)
VECTORS = RNG.standard_normal((N, DIM)).astype(np.float32)
IDS = [f"doc:{i}" for i in range(N)]
YEARS = np.arange(N) % 50 + 1970
WORDS = ["ab", 'c"d', "ef ü"]


def check(db: quiverdb.Client, key: str, attributes: bool = True) -> None:
    assert db.count(key) == N
    np.testing.assert_allclose(db.vectors(key, IDS), VECTORS, rtol=1e-5, atol=1e-6)
    found = db.search(key, VECTORS[123], k=3, exact=True, with_attributes=True)
    assert found.ids[0] == "doc:123" and found.attributes is not None
    if attributes:
        assert found.attributes[0] == {"year": 1993, "word": WORDS[0], "even": False}
        assert db.attributes(key, "doc:1") == {"year": 1971, "word": 'c"d', "even": False}


def table() -> dict[str, Any]:
    return {
        "id": IDS, "vector": list(VECTORS), "year": YEARS, "word": [WORDS[i % 3] for i in range(N)],
        "even": np.arange(N) % 2 == 0,
    }


@pytest.mark.parametrize("parallel", [1, 3])
def test_an_array_with_ids_and_attributes(db: quiverdb.Client, parallel: int) -> None:
    attributes = [{"year": int(YEARS[i]), "word": WORDS[i % 3], "even": i % 2 == 0} for i in range(N)]
    told: list[int] = []
    new = db.upsert(
        "v", VECTORS, IDS, attributes, quant="noquant", batch_size=64, parallel=parallel, progress=told.append
    )
    assert new == N and sum(told) == N and len(told) == 11
    check(db, "v")
    assert db.upsert("v", VECTORS, IDS, quant="noquant") == 0
    check(db, "v")
    assert db.upsert("rows", VECTORS[:5].astype("f8"), progress=True) == 5
    assert sorted(db.search("rows", VECTORS[0], k=9).ids) == list("01234")


def test_an_iterable_is_read_as_it_goes(db: quiverdb.Client) -> None:
    rows = table()

    def pairs() -> Iterator[Any]:
        for i in range(N):
            yield IDS[i], VECTORS[i], {name: rows[name][i].item() if name != "word" else rows[name][i]
                                       for name in ("year", "word", "even")}

    assert db.upsert("tuples", pairs(), quant="noquant", batch_size=100) == N
    check(db, "tuples")
    items = ({"id": id, "vector": vector, **attributes} for id, vector, attributes in pairs())
    assert db.upsert("mappings", items, quant="noquant", batch_size=100) == N
    check(db, "mappings")
    assert db.upsert("two", zip(IDS, VECTORS), quant="noquant") == N
    check(db, "two", attributes=False)
    assert db.attributes("two", "doc:1") is None


def test_arrow_tables(db: quiverdb.Client) -> None:
    pa = pytest.importorskip("pyarrow")
    rows = table()
    for i, kind in enumerate([pa.list_(pa.float32(), DIM), pa.list_(pa.float32()), pa.large_list(pa.float64())]):
        columns = {**rows, "vector": pa.array(rows["vector"], type=kind)}
        arrow = pa.table(columns)
        assert db.upsert(f"t{i}", arrow, quant="noquant", batch_size=200) == N
        check(db, f"t{i}")
    chunks = pa.concat_tables([arrow.slice(0, 300), arrow.slice(300)])
    assert db.upsert("chunks", chunks, quant="noquant") == N
    check(db, "chunks")
    assert db.upsert("batch", arrow.to_batches()[0], quant="noquant") == N
    check(db, "batch")


def test_missing_values_are_left_out(db: quiverdb.Client) -> None:
    pa = pytest.importorskip("pyarrow")
    arrow = pa.table({
        "id": ["a", "b", "c"], "vector": pa.array(list(VECTORS[:3]), type=pa.list_(pa.float32(), DIM)),
        "n": pa.array([1, None, 3]), "x": pa.array([0.5, float("nan"), None]), "flag": pa.array([None, True, None]),
        "s": pa.array(["x", None, None]), "list": pa.array([[1], None, None]),
    })
    db.upsert("v", arrow)
    assert [db.attributes("v", id) for id in "abc"] == [{"n": 1, "x": 0.5, "s": "x", "list": [1]}, {"flag": True}, {"n": 3}]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({
        "id": ["a", "b"], "vector": list(VECTORS[:2]), "n": pandas.array([1, None], dtype="Int64"), "x": [None, 2.5],
        "s": ["ü", None],
    })
    db.upsert("p", frame)
    assert [db.attributes("p", id) for id in "ab"] == [{"n": 1, "s": "ü"}, {"x": 2.5}]
    polars = pytest.importorskip("polars")
    db.upsert("q", polars.DataFrame({"id": ["a", "b"], "vector": VECTORS[:2].tolist(), "n": [1, None], "b": [None, True]}))
    assert [db.attributes("q", id) for id in "ab"] == [{"n": 1}, {"b": True}]


def test_frames_of_pandas_and_polars(db: quiverdb.Client) -> None:
    pandas = pytest.importorskip("pandas")
    assert db.upsert("pandas", pandas.DataFrame(table()), quant="noquant") == N
    check(db, "pandas")
    polars = pytest.importorskip("polars")
    rows = {**table(), "vector": VECTORS.tolist()}
    assert db.upsert("lists", polars.DataFrame(rows), quant="noquant") == N
    check(db, "lists")
    fixed = polars.DataFrame(rows).with_columns(polars.col("vector").cast(polars.Array(polars.Float32, DIM)))
    assert db.upsert("fixed", fixed, quant="noquant") == N
    check(db, "fixed")
    renamed = polars.DataFrame({"name": IDS, "embedding": VECTORS.tolist(), "year": YEARS, "secret": IDS})
    db.upsert(
        "named", renamed, id_column="name", vector_column="embedding", attribute_columns=["year"], quant="noquant"
    )
    assert db.attributes("named", "doc:1") == {"year": 1971}


def test_results_are_tables(db: quiverdb.Client) -> None:
    pa, pandas, polars = map(pytest.importorskip, ("pyarrow", "pandas", "polars"))
    db.upsert("v", VECTORS, IDS, [{"i": i} for i in range(N)])
    found = db.search_batch("v", VECTORS[:200], k=4, with_attributes=True)
    assert len(found) == 200 and [result.ids[0] for result in found] == IDS[:200]
    table = found.to_arrow()
    assert table.num_rows == 800 and table.column_names == ["query", "id", "score", "attributes"]
    assert table.column("query").to_pylist()[:5] == [0, 0, 0, 0, 1]
    assert pa.table(found).equals(table)
    assert found.to_pandas().shape == (800, 4) and found.to_polars().shape == (800, 4)
    one = db.search("v", VECTORS[7], k=3)
    assert list(one.to_pandas()["id"]) == one.ids and polars.DataFrame(one)["id"].to_list() == one.ids
    assert isinstance(found.to_pandas(), pandas.DataFrame)


def test_a_batch_of_queries_finds_what_each_alone_finds(db: quiverdb.Client) -> None:
    db.upsert("v", VECTORS, IDS, [{"i": i} for i in range(N)])
    cases: list[dict[str, Any]] = [{}, {"filter": ".i < 100"}, {"exact": True}, {"epsilon": 0.3}, {"with_attributes": True}]
    for options in cases:
        many = db.search_batch("v", VECTORS[:300], k=5, parallel=2, **options)
        for query, result in zip(VECTORS[:300:10], many[::10]):
            alone = db.search("v", query, k=5, **options)
            assert result.ids == alone.ids and result.texts == alone.texts
            np.testing.assert_array_equal(result.scores, alone.scores)
    assert db.search_batch("v", np.empty((0, DIM))) == []
    assert [result.ids for result in db.search_batch("nothing", VECTORS[:3])] == [[], [], []]


def test_recommendations_leave_out_what_was_given(db: quiverdb.Client) -> None:
    db.upsert("v", VECTORS, IDS, [{"i": i} for i in range(N)])
    found = db.recommend("v", ["doc:1", "doc:2"], ["doc:3"], k=5, with_attributes=True)
    assert len(found) == 5 and not {"doc:1", "doc:2", "doc:3"} & set(found.ids)
    assert found.attributes is not None and found.attributes[0]["i"] == int(found.ids[0].partition(":")[2])
    with pytest.raises(quiverdb.ResponseError, match="not found"):
        db.recommend("v", ["nobody"])


def test_a_server_without_own_commands_is_told_in_those_it_has(db: quiverdb.Client) -> None:
    db._has_own_commands = False
    assert db.upsert("v", VECTORS, IDS, [{"i": i} for i in range(N)]) == N
    many = db.search_batch("v", VECTORS[:100], k=2, with_attributes=True)
    assert [result.ids[0] for result in many] == IDS[:100]
    assert many[3].attributes is not None and many[3].attributes[0] == {"i": 3}


def test_mistakes_are_told(db: quiverdb.Client) -> None:
    with pytest.raises(ValueError, match="shape"):
        db.upsert("v", VECTORS[0])
    with pytest.raises(ValueError, match="2 ids"):
        db.upsert("v", VECTORS[:3], ["a", "b"])
    with pytest.raises(ValueError, match="1 attributes"):
        db.upsert("v", VECTORS[:2], attributes=[None])
    with pytest.raises(TypeError, match="int"):
        db.upsert("v", 3)
    with pytest.raises(ValueError, match="batch_size"):
        db.upsert("v", VECTORS, batch_size=0)
    with pytest.raises(ValueError):
        db.upsert("v", [("a", VECTORS[0]), ("b", VECTORS[0, :3])])
    with pytest.raises(quiverdb.ResponseError, match="finite"):
        db.upsert("v", np.full((2, 3), np.nan))
    assert db.count("v") == 0
    db.upsert("v", VECTORS[:1])
    with pytest.raises(quiverdb.ResponseError, match="dimension"):
        db.upsert("v", VECTORS[:2, :3])
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="no column 'vector': there are id, vec"):
        db.upsert("v", pandas.DataFrame({"id": ["a"], "vec": [VECTORS[0]]}))
    with pytest.raises(ValueError, match="one length"):
        db.upsert("v", pandas.DataFrame({"id": ["a", "b"], "vector": [VECTORS[0], VECTORS[0, :3]]}))
    assert db.upsert("v", []) == 0 and db.upsert("v", np.empty((0, DIM))) == 0


def test_columns_become_json() -> None:
    columns = [
        ("f", "f", np.array([0.5, np.inf]), None),
        ("i", "i", np.array([1, 2]), np.array([False, True])),
        ("b", "b", np.array([True, False]), None),
        ('s"', "s", ["x\n", None], None),
        ("j", "j", ["[1]", None], None),
    ]
    assert json_rows(columns, 2) == ['{"f":0.5,"i":1,"b":true,"s\\"":"x\\n","j":[1]}', '{"b":false}']
    assert json_rows([("s", "s", [None], None)], 1) == [None]
    with pytest.raises(ValueError):
        json_rows(columns, 3)
