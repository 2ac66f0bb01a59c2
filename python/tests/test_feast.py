"""Feast with its own Redis online store, unchanged: materialise, push and get_online_features."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import quiverdb

pytest.importorskip("feast", reason="feast is not installed: QUIVER_FEAST=1 cargo xtask test python")
pytest.importorskip("redis", reason="feast's Redis online store needs redis (pip install 'feast[redis]')")


def test_feast_materialises_into_hashes_and_reads_them(port: int, db: quiverdb.Client, tmp_path: Path) -> None:
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
    from feast.types import Float32, Int64, String
    from feast.value_type import ValueType

    now = datetime.now(timezone.utc).replace(microsecond=0)
    rows = pd.DataFrame({
        "driver_id": [1001, 1002, 1003],
        "rating": pd.Series([4.5, 3.25, 5.0], dtype="float32"),
        "trips": [12, 7, 0],
        "car": ["vw", "saab", "fiat"],
        "event_timestamp": [now - timedelta(minutes=minutes) for minutes in (5, 10, 15)],
        "created": [now] * 3,
    })
    rows.to_parquet(tmp_path / "drivers.parquet")
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        path=str(tmp_path / "drivers.parquet"), timestamp_field="event_timestamp", created_timestamp_column="created",
    )
    view = FeatureView(
        name="rides", entities=[driver], ttl=timedelta(days=1), source=source,
        schema=[Field(name="rating", dtype=Float32), Field(name="trips", dtype=Int64), Field(name="car", dtype=String)],
    )
    store = FeatureStore(config=RepoConfig(
        project="quiver", provider="local", registry=str(tmp_path / "registry.db"), repo_path=tmp_path,
        entity_key_serialization_version=3,
        online_store={"type": "redis", "connection_string": f"127.0.0.1:{port}"},
    ))
    store.apply([driver, view])
    store.materialize(now - timedelta(hours=1), now + timedelta(minutes=1))
    assert db.execute("DBSIZE") == 3

    def online(ids: list[int]) -> dict[str, list[object]]:
        return store.get_online_features(
            features=["rides:rating", "rides:trips", "rides:car"], entity_rows=[{"driver_id": id} for id in ids],
        ).to_dict()

    found = online([1001, 1003, 9999])
    assert found["rating"] == [4.5, 5.0, None]
    assert found["trips"] == [12, 0, None]
    assert found["car"] == ["vw", "fiat", None]

    later = rows.head(1).assign(trips=13, event_timestamp=now, created=now)
    store.write_to_online_store("rides", later)
    assert online([1001])["trips"] == [13]
    # Feast itself keeps a late row from overwriting a newer one.
    store.write_to_online_store("rides", later.assign(trips=1, event_timestamp=now - timedelta(hours=1)))
    assert online([1001])["trips"] == [13]

    store.teardown()
    assert db.execute("DBSIZE") == 0
