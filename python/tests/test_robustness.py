"""Retries, copies of clients, forks, threads."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import threading
import time

import numpy as np
import pytest

import quiverdb


class Flaky:
    """A server's stand-in that answers each connection from a script: a reply to every command, None to hang up."""

    def __init__(self, *connections: list[bytes | None]) -> None:
        self.commands = 0
        self._connections = connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        for replies in self._connections:
            link, _ = self._listener.accept()
            with link:
                link.recv(65536)
                link.sendall(b"%1\r\n+server\r\n+flaky\r\n")  # HELLO
                for reply in replies:
                    if not link.recv(65536):
                        break
                    self.commands += 1
                    if reply is None:
                        break
                    link.sendall(reply)
        self._listener.close()


FAST = quiverdb.Retry(attempts=3, base=0.001)


def test_reads_are_repeated_on_a_new_connection() -> None:
    server = Flaky([None], [None], [b"$1\r\nv\r\n"])
    with quiverdb.Client(port=server.port, retry=FAST) as db:
        assert db.get("k") == b"v"
    assert server.commands == 3


def test_attempts_end() -> None:
    server = Flaky([None], [None], [None], [b"$1\r\nv\r\n"])
    with quiverdb.Client(port=server.port, retry=FAST) as db, pytest.raises(quiverdb.ConnectionError):
        db.get("k")


def test_what_may_have_run_is_not_repeated() -> None:
    server = Flaky([None], [b":1\r\n"])
    with quiverdb.Client(port=server.port, retry=FAST) as db:
        with pytest.raises(quiverdb.ConnectionError):
            db.incr("n")
        assert server.commands == 1
        assert db.incr("n") == 1


def test_what_a_server_refuses_for_now_is_repeated() -> None:
    server = Flaky([b"-LOADING Redis is loading\r\n", b"-BUSY wait\r\n", b":1\r\n", b"-ERR no\r\n"])
    with quiverdb.Client(port=server.port, retry=FAST) as db:
        assert db.incr("n") == 1
        with pytest.raises(quiverdb.ResponseError, match="ERR no"):
            db.incr("n")
    assert server.commands == 4


def test_without_retry_the_first_failure_counts() -> None:
    server = Flaky([None], [b"$1\r\nv\r\n"])
    with quiverdb.Client(port=server.port, retry=None) as db, pytest.raises(quiverdb.ConnectionError):
        db.get("k")


def test_a_client_can_be_pickled(port: int, db: quiverdb.Client) -> None:
    db.set("k", "v")
    copy = pickle.loads(pickle.dumps(db))
    assert copy.get("k") == b"v"
    db.close()
    assert copy.get("k") == b"v"
    copy.close()
    shared = pickle.loads(pickle.dumps(quiverdb.AsyncClient(port=port, decode=True)))
    assert isinstance(shared, quiverdb.AsyncClient)


def test_a_url_says_where_to_connect(port: int) -> None:
    with quiverdb.Client.from_url(f"redis://127.0.0.1:{port}/2", decode=True) as db:
        db.set("k", "v")
        assert db.get("k") == "v" and "db=2" in db.execute("CLIENT", "INFO")
        db.delete("k")
    with pytest.raises(ValueError):
        quiverdb.Client.from_url("http://127.0.0.1")


def _square(db: quiverdb.Client, i: int) -> int:
    db.set(f"square:{i}", i * i)
    return int(db.get(f"square:{i}"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_connect_for_themselves(port: int, db: quiverdb.Client) -> None:
    db.set("k", "v")
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.starmap(_square, [(db, i) for i in range(30)]) == [i * i for i in range(30)]
    child = os.fork()
    if child == 0:
        os._exit(0 if db.get("k") == b"v" and db.ping() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert db.get("k") == b"v"


def test_threads_add_and_search_beside_each_other(db: quiverdb.Client) -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((4000, 16)).astype("f4")
    failures: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    def add(start: int) -> None:
        db.upsert("v", rows[start : start + 1000], ids=range(start, start + 1000), batch_size=100)

    def search() -> None:
        while db.count("v") < 4000 and not failures:
            db.search("v", rows[0], k=3)
            time.sleep(0.001)

    threads = [threading.Thread(target=guarded, args=(lambda start=start: add(start),)) for start in range(0, 4000, 1000)]
    threads.append(threading.Thread(target=guarded, args=(search,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and db.count("v") == 4000
    found = db.search_batch("v", rows[:200], k=1, ef=100)
    assert sum(result.ids == [str(i)] for i, result in enumerate(found)) >= 198
