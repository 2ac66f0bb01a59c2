"""Features by view: what is written, what is late, what is missing, and many entities at once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

import quiverdb
from conftest import needs
from quiverdb import Status


@pytest.fixture
def users(db: quiverdb.Client) -> quiverdb.Client:
    needs(db, "FEAT.GET")
    db.features.create_view(
        "user", "user:",
        {"age": "i64", "spent": "f64", "score": "f32", "active": "bool", "seen": "timestamp", "country": "string",
         "taste": "vector(3)"},
    )
    return db


def test_views_are_described(users: quiverdb.Client) -> None:
    users.features.create_view("item", "i:", {"price": quiverdb.Feature("f64", ttl=60)}, ttl=100, max_age=50)
    assert users.features.views() == ["item", "user"]
    view = users.features.view("item")
    assert view.prefix == "i:" and view.ttl == 100 and view.max_age == 50
    assert view.features == {"price": quiverdb.Feature("f64", 60)}
    with pytest.raises(quiverdb.ResponseError, match="exists"):
        users.features.create_view("item", "i:", {"price": "f64"})
    assert users.features.drop_view("item") and not users.features.drop_view("item")


def test_values_come_back_by_column_with_their_types(users: quiverdb.Client) -> None:
    now = datetime.now(timezone.utc)
    values = {"age": 41, "spent": 2.5, "score": 0.25, "active": True, "seen": now, "country": "dé",
              "taste": np.array([1, 2, 3], "f4")}
    assert all(users.features.put("user", "ann", values, at=now).values())
    users.features.put("user", "bob", {"age": np.int64(7), "spent": None, "active": np.bool_(False)}, at=now)
    table = users.features.get(["ann", "bob", "eve"], "user", with_times=True)
    ms = round(now.timestamp() * 1000)
    assert table["age"].tolist() == [41, 7, 0] and table["age"].dtype == np.int64
    assert table["spent"][0] == 2.5 and np.isnan(table["spent"][1:]).all()
    assert table["score"].dtype == np.float32 and table["active"].tolist() == [True, False, False]
    assert table["seen"][0] == ms and table["country"][0] == "dé" and table["country"][2] is None
    assert table["taste"].shape == (3, 3) and table["taste"][0].tolist() == [1, 2, 3]
    assert table.statuses["spent"].tolist() == [Status.PRESENT, Status.NULL, Status.NOT_FOUND]
    assert table.present("age").tolist() == [True, True, False] and table.times["age"].tolist() == [ms, ms, 0]
    assert users.hget("user:ann", "age") == b"41"  # a field like any other
    whole = table.to_dict()
    assert whole["entity"] == ["ann", "bob", "eve"] and whole["age"] == [41, 7, None]


def test_what_is_late_does_not_overwrite(users: quiverdb.Client) -> None:
    now = datetime.now(timezone.utc)
    users.features.put("user", "ann", {"age": 2}, at=now)
    assert users.features.put("user", "ann", {"age": 1, "spent": 1.0}, at=now - timedelta(seconds=5)) == {
        "age": False, "spent": True,
    }
    assert users.features.get(["ann"], {"user": ["age"]})["age"].tolist() == [2]


def test_many_entities_at_once(users: quiverdb.Client) -> None:
    n = 3000
    columns = {"entity": [f"u{i}" for i in range(n)], "age": np.arange(n), "spent": np.arange(n) / 2,
               "country": ["x" if i % 2 else None for i in range(n)]}
    assert users.features.put_many("user", columns) == 3 * n
    table = users.features.get([f"u{i}" for i in range(0, n, 3)], {"user": ["age", "country"]})
    assert table["age"].tolist() == list(range(0, n, 3)) and list(table.columns) == ["age", "country"]
    assert table["country"][:2] == [None, "x"]
    rows = [{"entity": "a", "age": 1}, {"entity": "b", "spent": 2.0}]
    users.features.put_many("user", rows)
    both = users.features.get(["a", "b"], "user")
    assert both["age"].tolist() == [1, 0] and both.statuses["age"].tolist() == [Status.PRESENT, Status.NULL]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": ["p"], "age": [5], "at": pandas.to_datetime(["2020-01-01"])})
    assert users.features.put_many("user", frame, entity_column="id", time_column="at") == 1
    assert users.features.get(["p"], "user", with_times=True).times["age"].tolist() == [1577836800000]
    assert users.features.get(["p"], "user").to_pandas().shape == (1, 8)


def test_several_views_in_one_call_and_a_view_that_was_changed(users: quiverdb.Client, port: int) -> None:
    users.features.create_view("item", "i:", {"age": "f64"})
    users.features.put("item", "ann", {"age": 0.5})
    users.features.put("user", "ann", {"age": 9})
    table = users.features.get(["ann"], ["user", "item"])
    assert table["user:age"].tolist() == [9] and table["item:age"].tolist() == [0.5]
    with quiverdb.Client(port=port, decode=True) as other:
        assert other.features.get(["ann"], "item")["age"].tolist() == [0.5]
        other.features.create_view("item", "i:", {"age": "f64", "name": "string"}, replace=True)
        other.features.put("item", "ann", {"name": "é"})
    assert users.features.get(["ann"], "item")["name"] == ["é"]
    with pytest.raises(quiverdb.ResponseError, match="no such view"):
        users.features.get(["ann"], "nothing")


def test_the_asynchronous_client_has_them_too(port: int, db: quiverdb.Client) -> None:
    needs(db, "FEAT.GET")

    async def work() -> None:
        async with quiverdb.AsyncClient(port=port) as a:
            await a.features.create_view("v", "v:", {"x": "f64"})
            assert await a.features.views() == ["v"]
            assert await a.features.put("v", "a", {"x": 1.5}) == {"x": True}
            assert await a.features.put_many("v", {"entity": ["b"], "x": [2.5]}) == 1
            assert (await a.features.get(["a", "b"], "v"))["x"].tolist() == [1.5, 2.5]
            assert await a.features.drop_view("v")

    asyncio.run(work())
