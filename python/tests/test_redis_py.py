"""redis-py, unchanged, against the server: what most applications will use, in both protocols."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

redis = pytest.importorskip("redis")


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def r(request: pytest.FixtureRequest, port: int) -> Iterator[Any]:
    with redis.Redis(port=port, protocol=request.param, decode_responses=True) as client:
        client.flushall()
        yield client


def test_connection_answers_ping_echo_and_names_itself(r: Any) -> None:
    assert r.ping() is True
    assert r.echo("héllo") == "héllo"
    assert r.client_setname("worker") is True
    assert r.client_getname() == "worker"
    assert r.client_id() > 0


def test_strings_keep_bytes_and_count(r: Any, port: int) -> None:
    assert r.set("k", "v") is True
    assert r.get("k") == "v"
    assert r.set("k", "w", nx=True) is None
    assert r.set("k", "w", xx=True, get=True) == "v"
    assert r.append("k", "xyz") == 4 and r.strlen("k") == 4
    assert r.getrange("k", 1, -1) == "xyz" and r.setrange("k", 0, "a") == 4
    assert r.incr("n") == 1 and r.incrby("n", 9) == 10 and r.decr("n", 3) == 7
    assert r.incrbyfloat("f", 1.5) == 1.5
    assert r.mset({"a": "1", "b": "2"}) is True and r.mget("a", "none", "b") == ["1", None, "2"]
    assert r.getdel("a") == "1" and r.get("a") is None
    binary = bytes(range(256)) * 3
    with redis.Redis(port=port) as raw:
        raw.set(b"bin\x00ary", binary)
        assert raw.get(b"bin\x00ary") == binary


def test_hashes_hold_fields(r: Any) -> None:
    assert r.hset("h", mapping={"one": 1, "two": 2}) == 2
    assert r.hset("h", "one", "uno") == 0
    assert r.hget("h", "one") == "uno" and r.hget("h", "none") is None
    assert r.hgetall("h") == {"one": "uno", "two": "2"}
    assert r.hmget("h", "two", "none") == ["2", None]
    assert r.hincrby("h", "two", 40) == 42 and r.hincrbyfloat("h", "three", 0.5) == 0.5
    assert r.hexists("h", "three") and r.hlen("h") == 3 and sorted(r.hkeys("h")) == ["one", "three", "two"]
    assert r.hdel("h", "one", "two", "three") == 3 and not r.exists("h")


def test_keys_expire_rename_and_tell_their_type(r: Any) -> None:
    r.set("k", "v", ex=100)
    assert 0 < r.ttl("k") <= 100 and 0 < r.pttl("k") <= 100_000
    assert r.persist("k") is True and r.ttl("k") == -1 and r.ttl("none") == -2
    assert r.expire("k", 0) is True and r.exists("k") == 0
    r.set("short", "v", px=30)
    assert _eventually(lambda: r.get("short") is None)
    r.hset("h", "f", "v")
    assert r.type("h") == "hash" and r.type("none") == "none"
    assert r.rename("h", "g") and r.exists("g", "h") == 1
    assert r.copy("g", "g2") and r.unlink("g", "g2") == 2
    assert r.dbsize() == 0 and r.randomkey() is None


def test_scan_meets_every_key_and_field(r: Any) -> None:
    r.mset({f"key:{i}": i for i in range(500)})
    assert set(r.scan_iter(match="key:*", count=20)) == {f"key:{i}" for i in range(500)}
    assert len(r.keys("key:?")) == 10
    r.hset("h", mapping={f"f{i}": i for i in range(300)})
    assert dict(r.hscan_iter("h", count=10)) == {f"f{i}": str(i) for i in range(300)}


def test_pipelines_answer_in_order_and_keep_errors_in_place(r: Any) -> None:
    with r.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"p{i}", i).get(f"p{i}")
        assert pipe.execute()[1::2] == [str(i) for i in range(1000)]
        pipe.set("s", "text").incr("s").get("s")
        done, refused, text = pipe.execute(raise_on_error=False)
    assert done is True and isinstance(refused, redis.ResponseError) and text == "text"
    assert "not an integer" in str(refused)


def test_watched_transactions_never_lose_an_increment(r: Any, port: int) -> None:
    r.set("counter", 0)

    def add() -> None:
        def step(pipe: Any) -> None:
            value = int(pipe.get("counter"))
            pipe.multi()
            pipe.set("counter", value + 1)

        with redis.Redis(port=port, protocol=r.connection_pool.connection_kwargs["protocol"]) as own:
            for _ in range(50):
                own.transaction(step, "counter")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.get("counter") == "200"


def test_a_transaction_with_a_bad_command_runs_nothing(r: Any) -> None:
    with r.pipeline() as pipe:
        pipe.set("k", "v").execute_command("NOSUCHCOMMAND")
        with pytest.raises(redis.ResponseError):
            pipe.execute()
    assert r.exists("k") == 0


def test_databases_are_apart(r: Any, port: int) -> None:
    with redis.Redis(port=port, db=1, decode_responses=True) as other:
        r.set("k", "zero")
        assert other.get("k") is None
        other.set("k", "one")
        assert r.get("k") == "zero"
        other.flushdb()
        assert other.dbsize() == 0 and r.dbsize() == 1


def test_server_commands_parse(r: Any) -> None:
    info = r.info()
    assert info["redis_version"] and info["role"] == "master" and info["tcp_port"] > 0
    assert r.config_get("save") == {"save": ""}
    assert r.config_set("hz", 20) and r.config_get("hz")["hz"] == "20"
    assert r.command_count() > 50 and "get" in r.command_list()
    assert [client["id"] for client in r.client_list() if client["cmd"].startswith("client")]


def test_wrong_type_is_an_error_and_changes_nothing(r: Any) -> None:
    r.set("s", "v")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        r.hset("s", "f", "v")
    assert r.get("s") == "v"


def test_vector_sets_find_what_numpy_finds(r: Any) -> None:
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((300, 32)).astype(np.float32)
    vectors = r.vset()
    for i, row in enumerate(rows):
        added = vectors.vadd("v", row.tobytes(), f"e{i}", attributes={"even": i % 2 == 0})
        assert int(added) == 1
    assert vectors.vcard("v") == 300 and vectors.vdim("v") == 32
    question = rows[5] + 0.05 * rng.standard_normal(32).astype(np.float32)
    found = vectors.vsim("v", question.tobytes(), with_scores=True, count=10, truth=True)
    similarity = rows @ question / np.linalg.norm(rows, axis=1)
    assert next(iter(found)) == "e5"
    assert len(set(found) & {f"e{i}" for i in np.argsort(-similarity)[:10]}) >= 9  # 8-bit codes may swap near ties
    assert all(0.0 <= score <= 1.0 for score in found.values())
    assert vectors.vgetattr("v", "e4") == {"even": True}
    assert np.allclose(vectors.vemb("v", "e0"), rows[0], atol=0.05)
    assert vectors.vrem("v", "e5") == 1 and vectors.vcard("v") == 299
    assert "e5" not in vectors.vsim("v", question.tobytes())


def _eventually(holds: Any, seconds: float = 2.0) -> bool:
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if holds():
            return True
        pause.wait(0.01)
    return False
