"""Vector sets through the client, checked against numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest

import quiverdb

N, DIM = 500, 24
RNG = np.random.default_rng(7)
VECTORS = RNG.standard_normal((N, DIM)).astype(np.float32)
IDS = [f"doc:{i}" for i in range(N)]


def nearest(query: np.ndarray, k: int) -> tuple[list[str], np.ndarray]:
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    scores = (1 + unit @ (query / np.linalg.norm(query))) / 2
    best = np.argsort(-scores)[:k]
    return [IDS[i] for i in best], scores[best]


@pytest.fixture
def docs(db: quiverdb.Client) -> quiverdb.Client:
    attributes = [{"i": i, "even": i % 2 == 0} if i % 5 else None for i in range(N)]
    assert db.add("docs", IDS, VECTORS, attributes, quant="noquant", batch=64) == N
    return db


def test_what_was_added_is_there(docs: quiverdb.Client) -> None:
    assert docs.count("docs") == N and docs.dim("docs") == DIM
    assert docs.add("docs", IDS[:10], VECTORS[:10], quant="noquant") == 0
    vector = docs.vector("docs", "doc:3")
    assert vector is not None and vector.dtype == np.float32
    np.testing.assert_allclose(vector, VECTORS[3], rtol=1e-5, atol=1e-6)
    assert docs.vector("docs", "nobody") is None
    info = docs.info("docs")
    assert info["size"] == N and info["vector-dim"] == DIM


def test_exact_search_agrees_with_numpy(docs: quiverdb.Client) -> None:
    for query in RNG.standard_normal((5, DIM)):
        found = docs.search("docs", query, k=8, exact=True)
        ids, scores = nearest(query, 8)
        assert found.ids == ids and len(found) == 8
        assert found.scores.dtype == np.float32
        np.testing.assert_allclose(found.scores, scores, atol=1e-5)
        assert [id for id, _score in found] == ids


def test_graph_search_finds_nearly_all(docs: quiverdb.Client) -> None:
    queries = RNG.standard_normal((40, DIM)).astype(np.float32)
    found = docs.search("docs", queries, k=10, ef=200)
    hits = sum(len(set(result.ids) & set(nearest(query, 10)[0])) for query, result in zip(queries, found))
    assert len(found) == 40 and hits >= 0.95 * 400


def test_attributes_come_with_hits(docs: quiverdb.Client) -> None:
    found = docs.search("docs", VECTORS[6], k=20, with_attributes=True)
    assert found.ids[0] == "doc:6" and found.attributes is not None
    for id, attributes in zip(found.ids, found.attributes):
        i = int(id.partition(":")[2])
        assert attributes == ({"i": i, "even": i % 2 == 0} if i % 5 else None)
    assert docs.search("docs", VECTORS[6]).attributes is None
    assert docs.set_attributes("docs", "doc:6", json.dumps({"ü": 1}))
    assert docs.attributes("docs", "doc:6") == {"ü": 1}
    assert docs.attributes("docs", "doc:5") is None


def test_a_filter_that_the_server_does_not_understand_raises(docs: quiverdb.Client) -> None:
    with pytest.raises(quiverdb.ResponseError, match="FILTER"):
        docs.search("docs", VECTORS[0], filter=".i <", filter_ef=N)


def test_removal(docs: quiverdb.Client) -> None:
    assert docs.remove("docs", "doc:0", "doc:1", "nobody") == 2
    assert docs.count("docs") == N - 2
    assert "doc:0" not in docs.search("docs", VECTORS[0], exact=True).ids


def test_every_float_type_and_layout_is_taken(db: quiverdb.Client) -> None:
    base = RNG.standard_normal((40, 2 * DIM))
    variants = [
        base[:, ::2].astype("f2"), base[:, :DIM].astype("f8"), base[::-1, DIM:].astype("f4"),
        np.asfortranarray(base[:, :DIM].astype("f4")), (base[:, :DIM] * 100).astype("i4"), base[:, :DIM].astype(">f4"),
    ]
    for i, rows in enumerate(variants):
        assert db.add(f"v{i}", np.arange(40), rows, quant="noquant", batch=7) == 40
        vector = db.vector(f"v{i}", 39)
        assert vector is not None
        np.testing.assert_allclose(vector, rows[39].astype("f4"), rtol=1e-4, atol=1e-5)
        assert db.search(f"v{i}", rows[5], k=1).ids == ["5"]


def test_mistakes_are_told(db: quiverdb.Client) -> None:
    with pytest.raises(ValueError, match="shape"):
        db.add("v", ["a"], VECTORS[0])
    with pytest.raises(ValueError, match="2 ids for 3"):
        db.add("v", ["a", "b"], VECTORS[:3])
    with pytest.raises(ValueError, match="1 attributes"):
        db.add("v", ["a", "b"], VECTORS[:2], [None])
    with pytest.raises(TypeError, match="numbers"):
        db.add("v", ["a"], np.array([["x", "y"]]))
    assert db.add("v", [], np.empty((0, DIM))) == 0
    db.add("v", ["a"], VECTORS[:1])
    with pytest.raises(quiverdb.ResponseError):
        db.add("v", ["b"], VECTORS[:1, :3])
    with pytest.raises(quiverdb.ResponseError):
        db.search("v", VECTORS[0, :3])
    assert db.search("nothing", VECTORS[0]).ids == []
    assert db.count("nothing") == 0 and db.info("nothing") == {}
