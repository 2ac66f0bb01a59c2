"""Arrow Flight with pyarrow's own client: put, list, get, search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import quiverdb
from test_grpc import Server, server  # noqa: F401  a fixture

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
flight = pytest.importorskip("pyarrow.flight", reason="this pyarrow has no Flight")


@pytest.fixture
def client(server: Server) -> Iterator[Any]:  # noqa: F811
    with quiverdb.Client(port=server.port) as resp:
        resp.execute("FLUSHALL")
    with flight.connect(f"grpc://127.0.0.1:{server.grpc_port}") as client:
        yield client


def table(rows: int, dim: int = 4) -> Any:
    values = pa.array([float(n % 7) + (n == i) for n in range(rows) for i in range(dim)], pa.float32())
    return pa.table({
        "id": [f"{n:05}" for n in range(rows)],
        "vector": pa.FixedSizeListArray.from_arrays(values, dim),
        "genre": pa.array([["jazz", "rock"][n % 2] for n in range(rows)]).dictionary_encode(),
        "year": pa.array(range(1900, 1900 + rows), pa.int64()),
        "seen": pa.array([1_000_000 * n for n in range(rows)], pa.timestamp("us")),
    })


def put(client: Any, table: Any, **options: Any) -> Any:
    writer, reader = client.do_put(flight.FlightDescriptor.for_path("films"), table.schema)
    with writer:
        if options:
            writer.write_metadata(json.dumps(options).encode())
        writer.write_table(table, max_chunksize=1_000)
        writer.done_writing()
        return json.loads(reader.read().to_pybytes())


def test_a_table_is_put_listed_and_got_back(client: Any) -> None:
    given = table(2_500)
    assert put(client, given, quantization="none", m=8)["inserted"] == 2_500
    descriptor = flight.FlightDescriptor.for_path("films")
    info = client.get_flight_info(descriptor)
    assert info.total_records == 2_500
    assert [listed.descriptor.path for listed in client.list_flights()] == [[b"films"]]
    assert client.get_schema(descriptor).schema == info.schema

    got = client.do_get(info.endpoints[0].ticket).read_all()
    assert got.schema == info.schema and got["id"].to_pylist() == given["id"].to_pylist()
    assert json.loads(got["attributes"][3].as_py()) == {"genre": "rock", "year": 1903, "seen": 3_000}
    some = client.do_get(flight.Ticket(json.dumps({"collection": "films", "ids": ["00007"], "vectors": False}).encode()))
    assert some.read_all()["id"].to_pylist() == ["00007"]


def test_an_exchange_searches(client: Any) -> None:
    put(client, table(100))
    options = {"collection": "films", "limit": 2, "exact": True}
    writer, reader = client.do_exchange(flight.FlightDescriptor.for_command(json.dumps(options).encode()))
    queries = table(3).select(["vector"])
    with writer:
        writer.begin(queries.schema)
        writer.write_table(queries)
        writer.done_writing()
        hits = reader.read_all()
    assert hits["query"].to_pylist() == [0, 0, 1, 1, 2, 2]


def test_a_column_that_does_not_fit_is_named(client: Any) -> None:
    wrong = pa.table({"id": ["a"], "vector": pa.array([[1.0, 2.0]], pa.list_(pa.float32()))})
    with pytest.raises(pa.ArrowInvalid, match="column vector: expected a fixed size list of .*got List"):
        put(client, wrong)
    assert list(client.list_flights()) == []


def test_users_are_those_of_resp(server: Server, client: Any) -> None:  # noqa: F811
    with quiverdb.Client(port=server.port) as resp:
        resp.execute("ACL", "SETUSER", "ann", "on", ">pw", "~*", "+@all")
        try:
            bearer = client.authenticate_basic_token("ann", "pw")
            put(client, table(1))
            options = flight.FlightCallOptions(headers=[bearer])
            assert client.get_flight_info(flight.FlightDescriptor.for_path("films"), options).total_records == 1
            with pytest.raises(flight.FlightUnauthenticatedError):
                client.authenticate_basic_token("ann", "wrong")
        finally:
            resp.execute("ACL", "DELUSER", "ann")
