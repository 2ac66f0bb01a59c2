"""A server of its own for the tests: $QUIVER_SERVER, or the newest build found in the repository."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import quiverdb

REPOSITORY = Path(__file__).resolve().parents[2]


def server_command() -> list[str]:
    """The server to test against; QUIVER_SERVER may be a command with arguments."""
    if given := os.environ.get("QUIVER_SERVER"):
        return shlex.split(given)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    builds = [path for kind in ("release", "debug") if (path := target / kind / "quiver-server").exists()]
    if not builds:
        pytest.exit("no server: run `cargo build` or set QUIVER_SERVER", returncode=2)
    return [str(max(builds, key=lambda path: path.stat().st_mtime))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory = tmp_path_factory.mktemp("server")
    port = free_port()
    with open(directory / "log", "wb") as log:
        server = subprocess.Popen(
            [*server_command(), "--port", str(port), "--save", "", "--dir", str(directory)],
            stdout=log, stderr=subprocess.STDOUT, cwd=directory,
        )
    try:
        wait_for(server, port, directory / "log")
        yield port
    finally:
        server.terminate()
        server.wait(timeout=10)


def wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with quiverdb.Client(port=port, timeout=1) as client:
                client.ping()
                return
        except quiverdb.Error:
            time.sleep(0.02)
    pytest.exit(f"the server did not start:\n{log.read_text(errors='replace')}", returncode=2)


@pytest.fixture
def db(port: int) -> Iterator[quiverdb.Client]:
    with quiverdb.Client(port=port) as client:
        client.execute("FLUSHALL")
        yield client


def needs(db: quiverdb.Client, command: str) -> None:
    """Skips a test of commands that the server does not have: it may be another than the one of this repository."""
    if not any(db.execute("COMMAND", "INFO", command)):
        pytest.skip(f"the server has no {command}")
