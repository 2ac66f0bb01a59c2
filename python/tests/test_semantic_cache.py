"""Semantic caches: exact and similar prompts, scopes, lifetimes, and what they count."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import numpy as np
import pytest

import quiverdb
from conftest import needs

RNG = np.random.default_rng(4)
EMBEDDING = RNG.standard_normal(32).astype("f4")
OTHER = RNG.standard_normal(32).astype("f4")


@pytest.fixture
def cache(db: quiverdb.Client) -> quiverdb.SemanticCache:
    needs(db, "SC.GET")
    return db.semantic_cache("answers").configure(threshold=0.9, max_entries=100)


def test_the_same_prompt_and_a_similar_one_hit(cache: quiverdb.SemanticCache) -> None:
    id = cache.set("what is a cat?", "an animal", EMBEDDING, metadata={"tokens": 3})
    exact = cache.get("what is a cat?")
    assert exact is not None and exact.exact and exact.response == "an animal" and exact.id == id
    assert exact.metadata == {"tokens": 3} and exact.score == 1 and exact.ttl_ms is None
    similar = cache.get("what are cats?", EMBEDDING + 0.01)
    assert similar is not None and not similar.exact and similar.prompt == "what is a cat?" and 0.9 < similar.score <= 1
    assert cache.get("what is a dog?", OTHER) is None and cache.get("what is a dog?") is None
    assert cache.get("what are cats?", EMBEDDING, filter=".tokens > 5") is None
    stats = cache.stats()
    assert (stats["exact-hits"], stats["semantic-hits"], stats["misses"] + stats["near-misses"]) == (1, 1, 3)


def test_scopes_and_models_are_apart(cache: quiverdb.SemanticCache) -> None:
    cache.set("p", "for a", EMBEDDING, scope="a", model="m1")
    for scope, model in [(None, None), ("b", "m1"), ("a", None), ("a", "m2")]:
        assert cache.get("p", EMBEDDING, scope=scope, model=model) is None
    hit = cache.get("q", EMBEDDING, scope="a", model="m1")
    assert hit is not None and hit.response == "for a"


def test_entries_end_and_are_invalidated(cache: quiverdb.SemanticCache) -> None:
    cache.set("p", "short", EMBEDDING, expires=timedelta(seconds=90))
    hit = cache.get("p")
    assert hit is not None and hit.ttl_ms is not None and 0 < hit.ttl_ms <= 90_000
    id = cache.set("q", "x", OTHER, scope="s", metadata={"year": 1999})
    assert cache.invalidate(id) == 1 and cache.get("q", scope="s") is None
    cache.set("q", "x", OTHER, scope="s", metadata={"year": 1999})
    assert cache.invalidate(scope="s", filter=".year < 1990") == 0
    assert cache.invalidate(scope="s", filter=".year > 1990") == 1
    assert cache.invalidate(prompt="p") == 1
    cache.set("p", "x", EMBEDDING)
    assert cache.invalidate(everything=True) == 1 and cache.get("p") is None
    cache.drop()


def test_mistakes_are_told(cache: quiverdb.SemanticCache) -> None:
    with pytest.raises(ValueError, match="shape"):
        cache.set("p", "r", np.ones((2, 2)))
    with pytest.raises(quiverdb.ResponseError):
        cache.get()
    cache.set("p", "r", EMBEDDING)
    with pytest.raises(quiverdb.ResponseError, match="dimension"):
        cache.get("q", np.ones(3))


def test_the_asynchronous_client_has_them_too(port: int, db: quiverdb.Client) -> None:
    needs(db, "SC.GET")

    async def work() -> None:
        async with quiverdb.AsyncClient(port=port) as a:
            cache = await a.semantic_cache("answers").configure(threshold=0.9)
            await cache.set("p", "r", EMBEDDING)
            hit = await cache.get("q", EMBEDDING)
            assert hit is not None and hit.response == "r"
            assert (await cache.stats())["semantic-hits"] == 1 and await cache.invalidate(prompt="p") == 1
            await cache.drop()

    asyncio.run(work())
