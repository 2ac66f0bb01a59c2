"""The in-process index for those who come from hnswlib; filters and several threads."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import quiverdb
from quiverdb import hnswlib

RNG = np.random.default_rng(8)
DATA = RNG.standard_normal((1500, 20)).astype(np.float32)


def distances(space: str, query: np.ndarray) -> np.ndarray:
    if space == "l2":
        return np.asarray(((DATA - query) ** 2).sum(axis=1))
    products = DATA @ query
    if space == "cosine":
        products = products / np.linalg.norm(DATA, axis=1) / np.linalg.norm(query)
    return np.asarray(1 - products)


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_labels_and_distances_are_arrays(space: hnswlib.Space) -> None:
    index = hnswlib.Index(space, 20)
    index.init_index(max_elements=len(DATA), M=16, ef_construction=100)
    index.add_items(DATA[:1000])
    index.add_items(DATA[1000:])
    index.set_ef(200)
    labels, found = index.knn_query(DATA[:50], k=10)
    assert labels.shape == found.shape == (50, 10) and labels.dtype == np.uint64
    hits = 0
    for i in range(50):
        expected = distances(space, DATA[i])
        np.testing.assert_allclose(found[i], expected[labels[i]], rtol=1e-3, atol=1e-3)
        hits += len(set(labels[i].tolist()) & set(np.argsort(expected)[:10].tolist()))
    assert hits >= 475
    assert index.get_current_count() == 1500 and sorted(index.get_ids_list()) == list(range(1500))
    np.testing.assert_allclose(index.get_items([3, 1400]), DATA[[3, 1400]], rtol=1e-5, atol=1e-6)


def test_items_are_deleted_filtered_and_saved(tmp_path: Path) -> None:
    index = hnswlib.Index("l2", 20)
    with pytest.raises(RuntimeError):
        index.knn_query(DATA[0])
    index.init_index()
    index.add_items(DATA, ids=np.arange(1500) + 10_000)
    index.mark_deleted(10_003)
    with pytest.raises(RuntimeError):
        index.mark_deleted(10_003)
    labels, _ = index.knn_query(DATA[3], k=5, filter=lambda label: label % 2 == 0)
    assert all(label % 2 == 0 for label in labels[0])
    labels, _ = index.knn_query(DATA[3], k=2, filter=lambda label: label in (10_004, 11_000))
    assert sorted(labels[0].tolist()) == [10_004, 11_000]
    with pytest.raises(RuntimeError):
        index.knn_query(DATA[3], k=3, filter=lambda label: label in (10_004, 11_000))
    index.save_index(tmp_path / "index")
    copy = hnswlib.Index("l2", 20)
    copy.load_index(tmp_path / "index")
    assert len(copy) == 1499


def test_a_filter_of_ids_finds_all_there_are() -> None:
    index = quiverdb.Index.build(DATA)
    some = [str(i) for i in range(0, 1500, 100)]
    found = index.search(DATA[:20], k=100, filter=some)
    assert all(sorted(result.ids) == sorted(some) for result in found)
    assert index.search(DATA[0], k=3, filter=[*some, "nobody"]).ids[0] == "0"
    assert index.search(DATA[0], k=3, filter=[]).ids == [] and index.search(DATA[0], filter=lambda id: False).ids == []
    exact = index.search(DATA[5], k=7, filter=lambda id: int(id) > 700, exact=True)
    order = [i for i in np.argsort(distances("cosine", DATA[5])) if i > 700][:7]
    assert exact.ids == [str(i) for i in order]
    with pytest.raises(ZeroDivisionError):
        index.search(DATA[0], filter=lambda id: 1 / 0)


def test_threads_build_one_graph_whatever_their_number() -> None:
    two, four = (quiverdb.Index.build(DATA, threads=threads) for threads in (2, 4))
    for first, second in zip(two.search(DATA[:100], ef=20), four.search(DATA[:100], ef=20)):
        assert first.ids == second.ids
    one = quiverdb.Index.build(DATA, threads=1)
    truth = one.search(DATA[:200], exact=True)
    for index in (one, two):
        found = index.search(DATA[:200], ef=100)
        assert sum(len(set(a.ids) & set(b.ids)) for a, b in zip(found, truth)) >= 1950


def test_of_an_id_given_twice_the_last_vector_counts() -> None:
    index = quiverdb.Index(20)
    assert index.add(["a", "b", "a"], DATA[:3]) == 2
    vector = index.vector("a")
    assert vector is not None
    np.testing.assert_allclose(vector, DATA[2], rtol=1e-5, atol=1e-6)
    assert index.add(["a", "c"], DATA[5:7]) == 1 and len(index) == 3


def test_an_index_can_be_pickled() -> None:
    index = quiverdb.Index.build(DATA[:200], ids=[f"e{i}" for i in range(200)])
    copy = pickle.loads(pickle.dumps(index))
    for first, second in zip(index.search(DATA[:50]), copy.search(DATA[:50])):
        assert first.ids == second.ids
