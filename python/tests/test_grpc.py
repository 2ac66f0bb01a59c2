"""The gRPC API as clients of other makes see it: grpcio with stubs generated from proto/, reflection, health probes."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import quiverdb
from conftest import REPOSITORY, free_port, server_command, wait_for

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")

from google.protobuf import descriptor_pool, message_factory  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # noqa: E402
    ProtoReflectionDescriptorDatabase,
)

SERVICES = ["AdminService", "CommandService", "IndexService", "SearchService", "VectorService"]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """What protoc makes of proto/, as a user would generate it."""
    out, protos = tmp_path_factory.mktemp("stubs"), REPOSITORY / "proto"
    files = [str(path) for folder in ("quiver/v1", "google/rpc") for path in sorted((protos / folder).glob("*.proto"))]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"--python_out={out}", f"--grpc_python_out={out}"]
    subprocess.run([*protoc, *files], check=True)
    sys.path.insert(0, str(out))
    try:
        from google.rpc import status_pb2
        from quiver.v1 import (
            admin_pb2, admin_pb2_grpc, commands_pb2, commands_pb2_grpc, index_pb2, index_pb2_grpc, search_pb2,
            search_pb2_grpc, types_pb2, vectors_pb2, vectors_pb2_grpc,
        )
        yield SimpleNamespace(**locals())
    finally:
        sys.path.remove(str(out))


class Server(SimpleNamespace):
    port: int
    grpc_port: int
    log: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("grpc")
    port, grpc_port, log = free_port(), free_port(), directory / "log"
    words = ["--port", str(port), "--grpc-port", str(grpc_port), "--save", "", "--dir", str(directory)]
    with open(log, "wb") as out:
        process = subprocess.Popen([*server_command(), *words], stdout=out, stderr=subprocess.STDOUT, cwd=directory)
    try:
        wait_for(process, port, log)
        yield Server(port=port, grpc_port=grpc_port, log=log)
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def channel(server: Server) -> Iterator[Any]:
    with quiverdb.Client(port=server.port) as client:
        client.execute("FLUSHALL")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        yield channel


def vector(stubs: SimpleNamespace, *components: float) -> Any:
    packed = struct.pack(f"<{len(components)}f", *components)
    return stubs.types_pb2.Vector(dtype="DTYPE_F32", dim=len(components), packed=packed)


def element(stubs: SimpleNamespace, id: bytes, *components: float, **more: Any) -> Any:
    return stubs.types_pb2.Element(id=id, vector=vector(stubs, *components), **more)


def test_a_generated_client_writes_searches_and_scans(stubs: SimpleNamespace, channel: Any) -> None:
    vectors = stubs.vectors_pb2_grpc.VectorServiceStub(channel)
    search = stubs.search_pb2_grpc.SearchServiceStub(channel)
    elements = [
        element(stubs, b"alien", 1, 0, attributes='{"year":1979}'),
        element(stubs, b"brazil", 0, 1),
        stubs.types_pb2.Element(id=b"clue", vector=stubs.types_pb2.Vector(floats=[-1, 0])),
    ]
    done = vectors.Upsert(stubs.vectors_pb2.UpsertRequest(collection="films", elements=elements))
    assert (done.inserted, done.updated) == (3, 0)

    query = stubs.search_pb2.SearchRequest(collection="films", vector=vector(stubs, 1, 0), limit=2, with_attributes=True)
    token = (("quiver-consistency-token", done.token),)
    hits = search.Search(query, metadata=token).hits
    assert [hit.id for hit in hits] == [b"alien", b"brazil"]
    assert hits[0].score == pytest.approx(1) and hits[0].attributes == '{"year":1979}'

    requests = [stubs.search_pb2.SearchStreamRequest(request_id=n, search=query) for n in (7, 8)]
    answers = list(search.SearchStream(iter(requests)))
    assert [(answer.request_id, len(answer.response.hits)) for answer in answers] == [(7, 2), (8, 2)]
    scan = stubs.vectors_pb2.ScanRequest(collection="films", page_size=2)
    assert [[e.id for e in page.elements] for page in vectors.Scan(scan)] == [[b"alien", b"brazil"], [b"clue"]]


def test_chunks_of_a_bulk_are_acknowledged(stubs: SimpleNamespace, channel: Any) -> None:
    vectors = stubs.vectors_pb2_grpc.VectorServiceStub(channel)
    chunks = [
        stubs.vectors_pb2.BulkUpsertRequest(collection="films", elements=[element(stubs, b"a", 1, 0)]),
        stubs.vectors_pb2.BulkUpsertRequest(collection="films", elements=[element(stubs, b"b", 1)]),
    ]
    acks = list(vectors.BulkUpsertAcked(iter(chunks)))
    assert [ack.WhichOneof("result") for ack in acks] == ["written", "error"]
    assert acks[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_a_refusal_has_a_code_and_details(stubs: SimpleNamespace, channel: Any) -> None:
    vectors = stubs.vectors_pb2_grpc.VectorServiceStub(channel)
    bad = element(stubs, b"", float("nan"))
    with pytest.raises(grpc.RpcError) as refused:
        vectors.Upsert(stubs.vectors_pb2.UpsertRequest(collection="films", elements=[bad]))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
    status = stubs.status_pb2.Status.FromString(details)
    assert [detail.type_url for detail in status.details] == ["type.googleapis.com/google.rpc.BadRequest"]
    assert b"elements[0].id" in status.details[0].value and b"elements[0].vector" in status.details[0].value


def test_deadlines_and_sizes_are_bounded(stubs: SimpleNamespace, channel: Any) -> None:
    vectors = stubs.vectors_pb2_grpc.VectorServiceStub(channel)
    with pytest.raises(grpc.RpcError) as late:
        vectors.Count(stubs.vectors_pb2.CountRequest(collection="films"), timeout=0)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    large = stubs.vectors_pb2.UpsertRequest(collection="films", elements=[element(stubs, b"x" * (65 << 20), 1)])
    with pytest.raises(grpc.RpcError) as refused:
        vectors.Upsert(large)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert vectors.Count(stubs.vectors_pb2.CountRequest(collection="films")).count == 0


def test_the_users_of_resp_are_those_of_grpc(stubs: SimpleNamespace, server: Server, channel: Any) -> None:
    vectors = stubs.vectors_pb2_grpc.VectorServiceStub(channel)
    count = stubs.vectors_pb2.CountRequest(collection="films")
    with quiverdb.Client(port=server.port) as client:
        client.execute("ACL", "SETUSER", "ann", "on", ">pw", "~films", "+vcard")
        for metadata in ((("authorization", "Bearer ann:pw"),), (("api-key", "ann:pw"),)):
            assert vectors.Count(count, metadata=metadata).count == 0
        codes = []
        for collection, secret in (("films", "wrong"), ("other", "pw")):
            with pytest.raises(grpc.RpcError) as refused:
                request = stubs.vectors_pb2.CountRequest(collection=collection)
                vectors.Count(request, metadata=(("authorization", f"Bearer ann:{secret}"),))
            codes.append(refused.value.code())
        client.execute("ACL", "DELUSER", "ann")
    assert codes == [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED]


def test_commands_indexes_and_administration(stubs: SimpleNamespace, channel: Any) -> None:
    commands = stubs.commands_pb2_grpc.CommandServiceStub(channel)
    assert commands.Execute(stubs.commands_pb2.ExecuteRequest(argv=[b"SET", b"k", b"v"])).reply.simple == b"OK"
    requests = [stubs.commands_pb2.PipelineRequest(request_id=n, argv=[b"INCR", b"n"]) for n in range(3)]
    assert [answer.reply.integer for answer in commands.Pipeline(iter(requests))] == [1, 2, 3]

    indexes = stubs.index_pb2_grpc.IndexServiceStub(channel)
    indexes.Create(stubs.index_pb2.CreateIndexRequest(collection="films", dim=2))
    indexes.SetAlias(stubs.index_pb2.SetAliasRequest(alias="movies", collection="films"))
    index = indexes.Get(stubs.index_pb2.GetIndexRequest(collection="movies")).index
    assert (index.collection, index.alias, index.dim) == ("films", "movies", 2)

    admin = stubs.admin_pb2_grpc.AdminServiceStub(channel)
    sections = admin.Info(stubs.admin_pb2.InfoRequest(sections=["server"])).sections
    assert [section.name for section in sections] == ["Server"] and sections[0].fields["redis_version"]
    assert admin.ReplicationStatus(stubs.admin_pb2.ReplicationStatusRequest()).role == stubs.admin_pb2.ROLE_PRIMARY


def test_a_client_without_stubs_finds_its_way_by_reflection(channel: Any) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    assert {f"quiver.v1.{name}" for name in SERVICES} <= services
    assert {"grpc.health.v1.Health", "arrow.flight.protocol.FlightService"} <= services
    pool = descriptor_pool.DescriptorPool(database)
    method = pool.FindServiceByName("quiver.v1.VectorService").FindMethodByName("Count")
    request = message_factory.GetMessageClass(method.input_type)(collection="films")
    response = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response.FromString,
    )
    assert call(request).count == 0


def test_a_health_probe_sees_every_service_serving(channel: Any) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ["", *(f"quiver.v1.{name}" for name in SERVICES)]:
        assert health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status == serving
    watch = health.Watch(health_pb2.HealthCheckRequest(service="quiver.v1.SearchService"))
    assert next(watch).status == serving
    watch.cancel()
    with pytest.raises(grpc.RpcError) as unknown:
        health.Check(health_pb2.HealthCheckRequest(service="quiver.v1.Other"))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
