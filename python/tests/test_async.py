"""The asynchronous client: the same answers, many tasks on one connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

import quiverdb
from conftest import free_port

RNG = np.random.default_rng(2)
VECTORS = RNG.standard_normal((500, 16)).astype(np.float32)


def with_client(port: int, work: Callable[[quiverdb.AsyncClient], Awaitable[Any]], **settings: Any) -> Any:
    async def run() -> Any:
        async with quiverdb.AsyncClient(port=port, **settings) as db:
            return await work(db)

    return asyncio.run(run())


def test_commands_answer_as_in_the_blocking_client(port: int, db: quiverdb.Client) -> None:
    async def work(a: quiverdb.AsyncClient) -> None:
        assert await a.ping()
        assert await a.set("k", "v", ex=100) and await a.get("k") == b"v" and 0 < await a.ttl("k") <= 100
        assert not await a.set("k", "w", nx=True)
        await a.mset({f"key:{i}": i for i in range(50)})
        assert await a.mget(["key:7", "none"]) == [b"7", None]
        assert len([key async for key in a.scan_iter(match="key:*", count=7)]) == 50
        assert await a.hset("h", mapping={"f": 1}) == 1 and await a.hgetall("h") == {b"f": b"1"}
        assert await a.hget("h", "f") == b"1" and await a.exists("h", "k") == 2 and await a.delete("h", "k") == 2
        replies = await a.pipeline([["SET", "s", "x"], ["INCR", "s"], ["GET", "s"]])
        assert replies[0] == "OK" and isinstance(replies[1], quiverdb.ResponseError) and replies[2] == b"x"
        assert await a.pipeline([]) == []
        with pytest.raises(quiverdb.ResponseError, match="not an integer"):
            await a.incr("s")

    with_client(port, work)


def test_vectors(port: int, db: quiverdb.Client) -> None:
    async def work(a: quiverdb.AsyncClient) -> None:
        ids = [f"e{i}" for i in range(500)]
        assert await a.upsert("v", VECTORS, ids, [{"i": i} for i in range(500)], batch_size=64) == 500
        assert await a.count("v") == 500 and await a.dim("v") == 16
        found = await a.search("v", VECTORS[7], k=3, with_attributes=True)
        assert found.ids[0] == "e7" and found.attributes[0] == {"i": 7}
        many = await a.search_batch("v", VECTORS[:100], k=1)
        assert [result.ids[0] for result in many] == ids[:100]
        assert len(await a.recommend("v", ["e1"], ["e2"], k=4)) == 4
        assert (await a.vectors("v", ids[:3])).shape == (3, 16)
        assert await a.attributes("v", "e3") == {"i": 3} and await a.set_attributes("v", "e3", None)
        assert await a.remove("v", "e1", "e2", "none") == 2 and (await a.info("v"))["size"] == 498
        assert await a.add("v", ["e1"], VECTORS[:1]) == 1

    with_client(port, work)


def test_tasks_share_a_connection_and_each_gets_its_own_answers(port: int, db: quiverdb.Client) -> None:
    async def work(a: quiverdb.AsyncClient) -> None:
        async def one(i: int) -> None:
            await a.set(f"k{i}", i)
            assert await a.get(f"k{i}") == str(i).encode()
            assert await a.incr("n") > 0

        before = await a.execute("CLIENT", "ID")
        await asyncio.gather(*(one(i) for i in range(2000)))
        assert await a.get("n") == b"2000" and await a.execute("CLIENT", "ID") == before

    with_client(port, work)


def test_a_task_that_gives_up_does_not_disturb_the_others(port: int, db: quiverdb.Client) -> None:
    async def work(a: quiverdb.AsyncClient) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(a.execute("BLPOP", "nothing", 0.2), 0.02)
        assert await a.set("k", "v") and await a.get("k") == b"v"

    with_client(port, work)


def test_a_lost_connection_is_opened_again_and_reads_are_repeated(port: int, db: quiverdb.Client) -> None:
    async def work(a: quiverdb.AsyncClient) -> None:
        await a.set("k", "v")
        db.execute("CLIENT", "KILL", "ID", await a.execute("CLIENT", "ID"))
        assert await a.get("k") == b"v"
        db.execute("CLIENT", "KILL", "ID", await a.execute("CLIENT", "ID"))
        with pytest.raises(quiverdb.ConnectionError):
            await a.execute("INCR", "n")  # may have run: nobody knows
        assert await a.ping()

    with_client(port, work)


def test_a_client_lives_through_several_event_loops_until_it_is_closed(port: int) -> None:
    db = quiverdb.AsyncClient(port=port)
    for _ in range(3):
        assert asyncio.run(_awaited(db.ping()))
    db.close()
    with pytest.raises(quiverdb.ConnectionError):
        asyncio.run(_awaited(db.ping()))


def test_nobody_listening_and_silence() -> None:
    async def ping(a: quiverdb.AsyncClient) -> bool:
        return await a.ping()

    with pytest.raises(quiverdb.ConnectionError):
        with_client(free_port(), ping, retry=quiverdb.Retry(attempts=2, base=0.001))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(quiverdb.TimeoutError):
            with_client(silent.getsockname()[1], ping, timeout=0.05, retry=None)


def test_decoding_returns_text(port: int, db: quiverdb.Client) -> None:
    async def get(a: quiverdb.AsyncClient) -> Any:
        await a.set("k", "ä")
        return await a.get("k")

    assert with_client(port, get, decode=True) == "ä"


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
