"""LangChain, LangGraph and LlamaIndex over this server, with their own Redis packages, unchanged.

Each is tested where its package is installed, and skipped elsewhere: `pip install langchain-redis`,
`pip install langgraph langgraph-checkpoint-redis`, `pip install llama-index-vector-stores-redis
llama-index-storage-docstore-redis llama-index-storage-kvstore-redis llama-index-storage-index-store-redis`. Their
requirements exclude each other, so an environment has one of them. Embeddings are those of the bundled data set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

redis = pytest.importorskip("redis")

DATA = Path(__file__).resolve().parents[2] / "datasets" / "wordnet-minilm-5k"
TEXTS = (DATA / "base.txt").read_text().splitlines()[:100]
VECTORS = np.load(DATA / "base.npy")[:100].astype(np.float32)
BY_TEXT = {text: vector.tolist() for text, vector in zip(TEXTS, VECTORS)}


@pytest.fixture
def url(port: int) -> Iterator[str]:
    with redis.Redis(port=port) as client:
        client.flushall()
    yield f"redis://localhost:{port}"


def embeddings() -> Any:
    core = pytest.importorskip("langchain_core.embeddings")

    class Bundled(core.Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return BY_TEXT.get(text, VECTORS[0].tolist())

    return Bundled()


def langchain() -> Any:
    return pytest.importorskip("langchain_redis", reason="langchain-redis is not installed")


def test_langchain_finds_texts_by_their_vectors(url: str) -> None:
    package = langchain()
    config = package.RedisConfig(
        index_name="texts", redis_url=url, metadata_schema=[{"name": "parity", "type": "tag"}]
    )
    store = package.RedisVectorStore(embeddings(), config=config)
    ids = store.add_texts(TEXTS, [{"parity": "odd" if i % 2 else "even"} for i in range(len(TEXTS))])
    assert len(ids) == len(TEXTS)
    found = store.similarity_search_with_score(TEXTS[7], k=3)
    assert found[0][0].page_content == TEXTS[7] and found[0][1] == pytest.approx(0, abs=1e-4)
    from redisvl.query.filter import Tag

    found = store.similarity_search(TEXTS[7], k=5, filter=Tag("parity") == "even")
    assert len(found) == 5 and all(document.metadata["parity"] == "even" for document in found)
    assert store.delete(ids[:50])
    assert len(store.similarity_search(TEXTS[7], k=100)) == 50


def test_langchain_caches_answers_by_text_and_by_nearness(url: str) -> None:
    package = langchain()
    from langchain_core.outputs import Generation

    answer = [Generation(text="an answer")]
    for cache in (package.RedisCache(redis_url=url), package.RedisSemanticCache(embeddings(), redis_url=url)):
        assert cache.lookup(TEXTS[3], "model") is None
        cache.update(TEXTS[3], "model", answer)
        assert cache.lookup(TEXTS[3], "model")[0].text == "an answer"
        assert cache.lookup(TEXTS[4], "model") is None
        cache.clear()


def test_langchain_keeps_the_messages_of_a_session(url: str) -> None:
    package = langchain()
    history = package.RedisChatMessageHistory("session", redis_url=url)
    history.add_user_message("a question about foxes")
    history.add_ai_message("an answer")
    assert [message.content for message in history.messages] == ["a question about foxes", "an answer"]
    assert [message["content"] for message in history.search_messages("foxes")] == ["a question about foxes"]
    history.clear()
    assert history.messages == []


def checkpoint(number: int) -> dict[str, Any]:
    from langgraph.checkpoint.base import empty_checkpoint

    return {**empty_checkpoint(), "channel_values": {"step": number}, "channel_versions": {"step": number}}


def test_langgraph_keeps_checkpoints(url: str) -> None:
    saver_of = pytest.importorskip("langgraph.checkpoint.redis", reason="langgraph-checkpoint-redis is not installed")
    with saver_of.RedisSaver.from_conn_string(url) as saver:
        saver.setup()
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        for number in range(3):
            config = saver.put(config, checkpoint(number), {"step": number, "source": "loop"}, {"step": number})
            saver.put_writes(config, [("channel", number)], f"task-{number}")
        thread: Any = {"configurable": {"thread_id": "t"}}
        latest = saver.get_tuple(thread)
        assert latest.checkpoint["channel_values"] == {"step": 2} and latest.pending_writes[0][2] == 2
        assert [found.metadata["step"] for found in saver.list(thread)] == [2, 1, 0]
        assert [found.metadata["step"] for found in saver.list(thread, filter={"step": 1})] == [1]
        saver.delete_thread("t")
        assert saver.get_tuple(thread) is None


def test_langgraph_keeps_checkpoints_asynchronously(url: str) -> None:
    aio = pytest.importorskip("langgraph.checkpoint.redis.aio", reason="langgraph-checkpoint-redis is not installed")

    async def run() -> None:
        async with aio.AsyncRedisSaver.from_conn_string(url) as saver:
            await saver.asetup()
            config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
            for number in range(3):
                config = await saver.aput(config, checkpoint(number), {"step": number}, {"step": number})
            thread: Any = {"configurable": {"thread_id": "t"}}
            latest = await saver.aget_tuple(thread)
            assert latest.checkpoint["channel_values"] == {"step": 2}
            assert [found.metadata["step"] async for found in saver.alist(thread)] == [2, 1, 0]

    asyncio.run(run())


def test_llama_index_finds_nodes_and_keeps_documents(url: str) -> None:
    reason = "llama-index-vector-stores-redis is not installed"
    stores = pytest.importorskip("llama_index.vector_stores.redis", reason=reason)
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery
    from redisvl.schema import IndexSchema

    schema = IndexSchema.from_dict({
        "index": {"name": "nodes", "prefix": "node"},
        "fields": [
            {"type": "tag", "name": "id"}, {"type": "tag", "name": "doc_id"}, {"type": "text", "name": "text"},
            {"type": "tag", "name": "parity"},
            {"type": "vector", "name": "vector",
             "attrs": {"dims": VECTORS.shape[1], "algorithm": "hnsw", "distance_metric": "cosine"}},
        ],
    })
    store = stores.RedisVectorStore(schema=schema, redis_url=url, overwrite=True)
    store.add([
        TextNode(id_=f"n{i}", text=text, embedding=BY_TEXT[text], metadata={"parity": "odd" if i % 2 else "even"})
        for i, text in enumerate(TEXTS)
    ])
    query = VectorStoreQuery(query_embedding=VECTORS[7].tolist(), similarity_top_k=3)
    assert store.query(query).nodes[0].get_content() == TEXTS[7]
    query.filters = MetadataFilters(filters=[MetadataFilter(key="parity", value="even")])
    assert {node.metadata["parity"] for node in store.query(query).nodes} == {"even"}

    docstore = pytest.importorskip("llama_index.storage.docstore.redis", reason="its docstore is not installed")
    host, port = "localhost", int(url.rsplit(":", 1)[1])
    documents = docstore.RedisDocumentStore.from_host_and_port(host, port, namespace="docs")
    documents.add_documents([TextNode(id_="d1", text="kept")])
    assert documents.get_document("d1").get_content() == "kept"
    documents.delete_document("d1")
    assert documents.get_document("d1", raise_error=False) is None
