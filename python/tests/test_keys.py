"""Keys, conversions and failures."""

from __future__ import annotations

import builtins
import contextlib
import socket
import threading
from typing import Any

import pytest

import quiverdb
from conftest import free_port


def test_strings(db: quiverdb.Client) -> None:
    assert db.ping()
    assert db.get("k") is None
    assert db.set("k", "v")
    assert db.get("k") == b"v"
    assert not db.set("k", "w", nx=True)
    assert not db.set("other", "w", xx=True)
    assert db.set("k", b"\xff\x00", ex=100)
    assert db.get("k") == b"\xff\x00"
    assert 0 < db.ttl("k") <= 100
    assert db.expire("k", 50) and not db.expire("nothing", 50)
    assert db.exists("k", "nothing") == 1
    assert db.delete("k", "nothing") == 1
    assert db.ttl("k") == -2
    assert db.incr("n") == 1 and db.incr("n", 41) == 42


def test_many_keys(db: quiverdb.Client) -> None:
    db.mset({f"key:{i}": i for i in range(500)})
    assert db.mget(["key:7", "nothing", "key:499"]) == [b"7", None, b"499"]
    assert db.mget([]) == []
    assert len(set(db.scan_iter(count=37))) == 500
    assert set(db.scan_iter(match="key:49?")) == {b"key:%d" % i for i in range(490, 500)}


def test_hashes(db: quiverdb.Client) -> None:
    assert db.hset("h", "f", 1.5) == 1
    assert db.hset("h", mapping={"f": "x", "g": b"y"}) == 1
    assert db.hget("h", "f") == b"x"
    assert db.hgetall("h") == {b"f": b"x", b"g": b"y"}
    assert db.hgetall("nothing") == {}


def test_values_come_back_as_they_went(db: quiverdb.Client) -> None:
    values: list[tuple[Any, bytes]] = [
        ("", b""), ("ünï", "ünï".encode()), ("\udcff", b"\xff"), (b"\x00\r\n", b"\x00\r\n"), (bytearray(b"ab"), b"ab"),
        (memoryview(b"cd"), b"cd"), (2**70, b"1180591620717411303424"), (-1, b"-1"), (0.1, b"0.1"), (1e300, b"1e+300"),
    ]
    for value, stored in values:
        db.execute("SET", "k", value)
        assert db.get("k") == stored
    refusals: list[Any] = [None, True, object(), ["x"]]
    for refused in refusals:
        with pytest.raises(TypeError):
            db.execute("SET", "k", refused)
    with pytest.raises(ValueError):
        db.execute()


def test_decoding_returns_text(port: int, db: quiverdb.Client) -> None:
    db.mset({"a": "ä", "b": b"\xff"})
    with quiverdb.Client(port=port, decode=True) as text:
        assert text.mget(["a", "b"]) == ["ä", "\udcff"]
        assert text.execute("PING") == "PONG"


def test_replies_have_their_types(db: quiverdb.Client) -> None:
    assert db.execute("SET", "k", "v") == "OK"
    assert db.execute("HSET", "h", "f", "v") == 1 and db.execute("HGETALL", "h") == {b"f": b"v"}
    assert db.execute("VADD", "z", "VALUES", 2, 1, 0, "m") is True
    assert db.execute("VSIM", "z", "VALUES", 2, 1, 0, "WITHSCORES") == {b"m": pytest.approx(1.0, abs=1e-3)}
    assert db.execute("MGET", "k", "none") == [b"v", None]


def test_a_pipeline_keeps_errors_in_their_places(db: quiverdb.Client) -> None:
    replies = db.pipeline([["SET", "k", "v"], ["HSET", "k", "f", 1], ["GET", "k"]])
    assert replies[0] == "OK" and replies[2] == b"v"
    assert isinstance(replies[1], quiverdb.ResponseError) and replies[1].code == "WRONGTYPE"
    assert db.pipeline([]) == []
    assert db.pipeline(("SET", i, i) for i in range(10_000)) == ["OK"] * 10_000


def test_error_replies_raise(db: quiverdb.Client) -> None:
    db.set("k", "v")
    with pytest.raises(quiverdb.ResponseError, match="WRONGTYPE"):
        db.hget("k", "f")
    with pytest.raises(quiverdb.Error, match="unknown command"):
        db.execute("NOSUCHCOMMAND")
    assert db.get("k") == b"v"


def test_a_closed_client_says_so(port: int) -> None:
    client = quiverdb.Client(port=port)
    client.close()
    client.close()
    with pytest.raises(quiverdb.ConnectionError):
        client.ping()


def test_nobody_listening() -> None:
    with pytest.raises(builtins.ConnectionError):
        quiverdb.Client(port=free_port(), timeout=1)


def test_silence_times_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(quiverdb.TimeoutError):
            quiverdb.Client(port=silent.getsockname()[1], timeout=0.05)
    with pytest.raises(ValueError):
        quiverdb.Client(timeout=-1)


def test_a_lost_connection_is_opened_again(port: int, db: quiverdb.Client) -> None:
    with quiverdb.Client(port=port) as client:
        db.execute("CLIENT", "KILL", "ID", client.execute("CLIENT", "ID"))
        with pytest.raises(quiverdb.ConnectionError):
            client.ping()
        assert client.ping()


def test_waiting_does_not_hold_the_interpreter(port: int, db: quiverdb.Client) -> None:
    def forward(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the end of the test closes both
            while data := source.recv(65536):
                sink.sendall(data)

    db.set("k", "v")
    # This process also is the way to the server: a call that held the interpreter would wait for itself.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = listener.getsockname()[1]
        answers: list[object] = []
        caller = threading.Thread(target=lambda: answers.append(quiverdb.Client(port=way, timeout=5).get("k")))
        caller.start()
        near, _ = listener.accept()
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            for ends in ((near, far), (far, near)):
                threading.Thread(target=forward, args=ends, daemon=True).start()
            caller.join()
    assert answers == [b"v"]


def test_threads_take_turns(db: quiverdb.Client) -> None:
    threads = [threading.Thread(target=lambda: [db.incr("n") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.get("n") == b"800"
