"""redisvl, unchanged: the library through which LangChain, LlamaIndex and LangGraph reach the query engine.

Embeddings are those of the bundled data set; no model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

redis = pytest.importorskip("redis")
pytest.importorskip("redisvl", reason="redisvl is not installed: `pip install redisvl` into .venv")

from redisvl.extensions.cache.embeddings import EmbeddingsCache  # noqa: E402
from redisvl.extensions.cache.llm import SemanticCache  # noqa: E402
from redisvl.extensions.message_history import MessageHistory  # noqa: E402
from redisvl.extensions.router import Route, SemanticRouter  # noqa: E402
from redisvl.index import SearchIndex  # noqa: E402
from redisvl.query import (  # noqa: E402
    AggregateHybridQuery,
    CountQuery,
    FilterQuery,
    TextQuery,
    VectorQuery,
    VectorRangeQuery,
)
from redisvl.query.filter import Num, Tag, Text  # noqa: E402
from redisvl.utils.vectorize import CustomVectorizer  # noqa: E402

DATA = Path(__file__).resolve().parents[2] / "datasets" / "wordnet-minilm-5k"
ROWS = 300
TEXTS = (DATA / "base.txt").read_text().splitlines()[:ROWS]
VECTORS = np.load(DATA / "base.npy")[:ROWS].astype(np.float32)
DIM = VECTORS.shape[1]


@pytest.fixture(params=[{"protocol": 2}, {}], ids=["resp2", "default"])
def client(request: pytest.FixtureRequest, port: int) -> Iterator[Any]:
    with redis.Redis(port=port, **request.param) as client:
        client.flushall()
        yield client


def schema(storage: str, algorithm: str = "hnsw") -> dict[str, Any]:
    attrs = {"dims": DIM, "distance_metric": "cosine", "algorithm": algorithm, "datatype": "float32"}
    return {
        "index": {"name": "words", "prefix": "word", "storage_type": storage},
        "fields": [
            {"name": "text", "type": "text"},
            {"name": "kind", "type": "tag"},
            {"name": "rank", "type": "numeric", "attrs": {"sortable": True}},
            {"name": "vector", "type": "vector", "attrs": attrs},
        ],
    }


def records(storage: str) -> list[dict[str, Any]]:
    pack = (lambda v: v.tobytes()) if storage == "hash" else (lambda v: v.tolist())
    return [
        {"text": text, "kind": "even" if i % 2 == 0 else "odd", "rank": i, "vector": pack(vector)}
        for i, (text, vector) in enumerate(zip(TEXTS, VECTORS))
    ]


def nearest(query: np.ndarray, keep: np.ndarray | None = None) -> list[int]:
    distance = 1 - VECTORS @ query / (np.linalg.norm(VECTORS, axis=1) * np.linalg.norm(query))
    if keep is not None:
        distance[~keep] = np.inf
    return [int(i) for i in np.argsort(distance, kind="stable")]


@pytest.fixture(params=["hash", "json"])
def index(request: pytest.FixtureRequest, client: Any) -> SearchIndex:
    index = SearchIndex.from_dict(schema(request.param), redis_client=client)
    index.create(overwrite=True)
    keys = index.load(records(request.param), id_field=None)
    assert len(keys) == ROWS
    return index


def test_an_index_is_created_listed_described_and_found_again(index: SearchIndex, client: Any) -> None:
    assert index.exists() and "words" in index.listall()
    info = index.info()
    assert int(info["num_docs"]) == ROWS
    again = SearchIndex.from_existing("words", redis_client=client)
    assert set(again.schema.field_names) == {"text", "kind", "rank", "vector"}
    assert again.schema.fields["vector"].attrs.dims == DIM


def test_vectors_are_found_with_and_without_a_filter(index: SearchIndex) -> None:
    query = VECTORS[7]
    found = index.query(VectorQuery(query.tolist(), "vector", return_fields=["rank"], num_results=10))
    assert [int(row["rank"]) for row in found[:1]] == [7]
    assert float(found[0]["vector_distance"]) == pytest.approx(0, abs=1e-4)
    assert len({int(row["rank"]) for row in found} & set(nearest(query)[:10])) >= 9
    odd = np.arange(ROWS) % 2 == 1
    filtered = VectorQuery(
        query.tolist(), "vector", return_fields=["rank"], num_results=10, filter_expression=Tag("kind") == "odd"
    )
    ranks = [int(row["rank"]) for row in index.query(filtered)]
    assert ranks[0] == 7 and all(rank % 2 for rank in ranks)
    assert len(set(ranks) & set(nearest(query, odd)[:10])) >= 9


def test_vectors_within_a_distance_are_found(index: SearchIndex) -> None:
    query = VECTORS[3]
    distance = 1 - VECTORS @ query / (np.linalg.norm(VECTORS, axis=1) * np.linalg.norm(query))
    wanted = {int(i) for i in np.flatnonzero(distance <= 0.5)}
    found = index.query(
        VectorRangeQuery(query.tolist(), "vector", return_fields=["rank"], distance_threshold=0.5, num_results=ROWS)
    )
    assert 3 in wanted and {int(row["rank"]) for row in found} == wanted


def test_filters_and_counts(index: SearchIndex) -> None:
    low = Num("rank") < 20
    found = index.query(FilterQuery(return_fields=["rank"], filter_expression=low & (Tag("kind") == "even"), num_results=50))
    assert sorted(int(row["rank"]) for row in found) == list(range(0, 20, 2))
    assert index.query(CountQuery(low | (Num("rank") >= ROWS - 5))) == 25
    assert index.query(CountQuery(Tag("kind") != "even")) == ROWS // 2
    word = TEXTS[11].split()[0].strip("(),.;:'\"").lower()
    assert index.query(CountQuery(Text("text") % word)) >= 1


def test_sorting_and_paging(index: SearchIndex) -> None:
    query = FilterQuery(return_fields=["rank"], num_results=10).sort_by("rank", asc=False)
    assert [int(row["rank"]) for row in index.query(query)] == list(range(ROWS - 1, ROWS - 11, -1))
    pages = list(index.paginate(FilterQuery(return_fields=["rank"], filter_expression=Num("rank") < 45), page_size=20))
    assert [len(page) for page in pages] == [20, 20, 5]


def test_texts_are_ranked_and_combined_with_vectors(index: SearchIndex) -> None:
    text = TEXTS[42]
    found = index.query(TextQuery(text, "text", return_fields=["rank"], num_results=5))
    assert 42 in [int(row["rank"]) for row in found]
    hybrid = AggregateHybridQuery(
        text=text, text_field_name="text", vector=VECTORS[42].tolist(), vector_field_name="vector",
        return_fields=["rank"], num_results=5,
    )
    assert int(index.query(hybrid)[0]["rank"]) == 42


def test_both_rankings_are_fused(index: SearchIndex) -> None:
    hybrid = pytest.importorskip("redisvl.query.hybrid")
    query = hybrid.HybridQuery(
        text=TEXTS[42], text_field_name="text", vector=VECTORS[42].tolist(), vector_field_name="vector",
        return_fields=["rank"], num_results=5, combination_method="RRF", yield_combined_score_as="score",
    )
    rows = index.query(query)
    assert int(rows[0]["rank"]) == 42 and float(rows[0]["score"]) > 0


def test_an_index_goes_with_or_without_its_documents(index: SearchIndex, client: Any) -> None:
    index.delete(drop=False)
    assert not index.exists() and client.dbsize() == ROWS
    index.create()
    assert index.query(CountQuery(Tag("kind") == "even")) == ROWS // 2
    index.delete(drop=True)
    assert client.dbsize() == 0


def embed(text: str) -> list[float]:
    """The embedding of a text of the data set; of any other text something of its own."""
    if text in TEXTS:
        return [float(x) for x in VECTORS[TEXTS.index(text)]]
    rng = np.random.default_rng(abs(hash(text)) % 2**32)
    return [float(x) for x in rng.standard_normal(DIM)]


@pytest.fixture
def vectorizer() -> CustomVectorizer:
    return CustomVectorizer(embed=embed)


def test_the_semantic_cache_hits_what_is_near(client: Any, vectorizer: CustomVectorizer) -> None:
    cache = SemanticCache(name="cache", redis_client=client, vectorizer=vectorizer, distance_threshold=0.1, ttl=60)
    assert cache.check(prompt=TEXTS[0]) == []
    cache.store(prompt=TEXTS[0], response="an answer", metadata={"by": "test"})
    hits = cache.check(prompt=TEXTS[0])
    assert hits[0]["response"] == "an answer" and hits[0]["metadata"] == {"by": "test"}
    assert cache.check(prompt="nothing like it") == []
    cache.drop(ids=[hits[0]["entry_id"]])
    assert cache.check(prompt=TEXTS[0]) == []
    cache.delete()


def test_the_embeddings_cache_gives_back_what_it_was_given(client: Any) -> None:
    cache = EmbeddingsCache(name="embeddings", redis_client=client)
    cache.set(content=TEXTS[1], model_name="m", embedding=VECTORS[1].tolist())
    found = cache.get(content=TEXTS[1], model_name="m")
    assert found is not None and np.allclose(found["embedding"], VECTORS[1], atol=1e-6)


def test_the_message_history_is_in_order(client: Any) -> None:
    history = MessageHistory(name="history", redis_client=client)
    history.add_messages([{"role": "user", "content": "one"}, {"role": "llm", "content": "two"}])
    history.add_message({"role": "user", "content": "three"})
    assert [message["content"] for message in history.get_recent(top_k=2)] == ["two", "three"]
    history.clear()


def test_the_router_finds_the_route(client: Any, vectorizer: CustomVectorizer) -> None:
    routes = [
        Route(name="first", references=TEXTS[:3], distance_threshold=0.3),
        Route(name="second", references=TEXTS[10:13], distance_threshold=0.3),
    ]
    router = SemanticRouter(name="router", routes=routes, vectorizer=vectorizer, redis_client=client, overwrite=True)
    assert router(TEXTS[11]).name == "second"
    assert router("nothing like it").name is None
    router.delete()
