"""Stock Sentinels watch a Quiver primary with two replicas and fail over; redis-py's Sentinel client follows.

Needs a Redis: $QUIVER_ORACLE ("program argument ..."), or redis-server on the PATH.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import free_port, server_command

redis = pytest.importorskip("redis")
from redis.sentinel import Sentinel  # noqa: E402

NAME = "quiver"
SENTINELS = 3


def redis_server() -> list[str]:
    if given := os.environ.get("QUIVER_ORACLE"):
        return shlex.split(given)
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server to run as Sentinel; set QUIVER_ORACLE")
    return [found]


def eventually(what: str, done: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


class Servers:
    """Three Quivers and three Sentinels."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.ports = [free_port() for _ in range(3)]
        self.sentinels = [free_port() for _ in range(SENTINELS)]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        for port in self.ports:
            following = [] if port == self.ports[0] else ["--replicaof", "127.0.0.1", str(self.ports[0])]
            self.quiver(port, following)
        for port in self.sentinels:
            self.sentinel(port)

    def quiver(self, port: int, arguments: list[str]) -> None:
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        # CONFIG REWRITE, which Sentinel asks for, needs a file.
        file = folder / "quiver.conf"
        file.touch()
        self.start(port, [*server_command(), str(file), "--port", str(port), "--dir", str(folder), *arguments])

    def sentinel(self, port: int) -> None:
        folder = self.folder / f"sentinel-{port}"
        folder.mkdir()
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {port}\ndir {folder}\nsentinel monitor {NAME} 127.0.0.1 {self.ports[0]} 2\n"
            f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 5000\n"
        )
        self.start(port, [*redis_server(), str(file), "--sentinel"])

    def start(self, port: int, command: list[str]) -> None:
        log = open(self.folder / f"{port}.log", "ab")  # noqa: SIM115
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.processes[port] = process
        self.stack.callback(lambda: (process.kill(), process.wait(), log.close()))
        eventually("a server", lambda: redis.Redis(port=port).ping())

    def kill(self, port: int) -> None:
        self.processes[port].kill()
        self.processes[port].wait()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(tmp_path, stack)


def test_sentinels_fail_over_and_clients_follow(servers: Servers) -> None:
    first = servers.ports[0]
    sentinel = Sentinel([("127.0.0.1", port) for port in servers.sentinels], socket_timeout=1)
    watching = redis.Redis(port=servers.sentinels[0], decode_responses=True)
    eventually("the replicas to be found", lambda: len(sentinel.discover_slaves(NAME)) == 2)
    eventually("the Sentinels to know each other", lambda: watching.sentinel_master(NAME)["num-other-sentinels"] == 2)
    primary = sentinel.master_for(NAME, socket_timeout=1)
    primary.set("before", 1)
    assert primary.wait(2, 5000) == 2

    servers.kill(first)
    eventually("another primary", lambda: sentinel.discover_master(NAME)[1] != first)
    eventually("a write", lambda: bool(primary.set("after", 2)))
    assert primary.get("before") == b"1"
    second = sentinel.discover_master(NAME)[1]

    # The old one comes back as a primary, and is told to follow.
    servers.quiver(first, [])
    old = redis.Redis(port=first, decode_responses=True)
    eventually("the old primary to follow", lambda: old.info("replication").get("master_port") == second)
    eventually("its data", lambda: old.get("after") == "2")
    new = redis.Redis(port=second, decode_responses=True)
    eventually("two replicas", lambda: new.info("replication")["connected_slaves"] == 2)
    assert "replicaof 127.0.0.1" in (servers.folder / str(first) / "quiver.conf").read_text()

    # And a failover that somebody asks for, without a failure.
    eventually("an agreement", lambda: len(sentinel.discover_slaves(NAME)) == 2)
    eventually("the order", lambda: bool(watching.execute_command("SENTINEL", "FAILOVER", NAME)))
    eventually("a third primary", lambda: sentinel.discover_master(NAME)[1] != second)
    eventually("a write", lambda: bool(primary.set("third", 3)))
    assert primary.get("after") == b"2"
