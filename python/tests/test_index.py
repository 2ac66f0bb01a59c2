"""The in-process index, checked against numpy."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

import quiverdb

N, DIM = 2000, 32
RNG = np.random.default_rng(11)
CENTRES = RNG.standard_normal((40, DIM))
VECTORS = (CENTRES[RNG.integers(0, 40, N)] + RNG.standard_normal((N, DIM)) / 2).astype(np.float32)
IDS = [str(i) for i in range(N)]


def scores_of(metric: str, query: NDArray[Any]) -> NDArray[Any]:
    if metric == "cosine":
        cosines = VECTORS @ query / np.linalg.norm(VECTORS, axis=1) / np.linalg.norm(query)
        return np.asarray((1 + cosines) / 2)
    if metric == "ip":
        return np.asarray(VECTORS @ query)
    return np.asarray(-((VECTORS - query) ** 2).sum(axis=1))


@pytest.fixture(scope="module")
def built() -> quiverdb.Index:
    index = quiverdb.Index(DIM)
    assert index.add(IDS, VECTORS) == N
    return index


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_exact_search_agrees_with_numpy(metric: Literal["cosine", "ip", "l2"]) -> None:
    with quiverdb.Index(DIM, metric=metric, ef_construction=32) as index:
        index.add(np.arange(N), VECTORS)
        for query in VECTORS[:5] * 1.5:
            found = index.search(query, k=10, exact=True)
            expected = scores_of(metric, query)
            assert found.ids == [IDS[i] for i in np.argsort(-expected, kind="stable")[:10]]
            np.testing.assert_allclose(found.scores, np.sort(expected)[::-1][:10], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("storage", ["f32", "i8"])
def test_the_graph_finds_nearly_all(storage: Literal["f32", "i8"]) -> None:
    index = quiverdb.Index(DIM, storage=storage)
    index.add(IDS, VECTORS)
    queries = VECTORS[:200] + RNG.standard_normal((200, DIM)).astype(np.float32) / 10
    found = index.search(queries, k=10, ef=50)
    hits = 0
    for query, result in zip(queries, found):
        hits += len(set(result.ids) & {IDS[i] for i in np.argsort(-scores_of("cosine", query))[:10]})
    assert hits >= 0.95 * 2000


def test_threads_give_the_answers_of_one(built: quiverdb.Index) -> None:
    one = built.search(VECTORS[:300], threads=1)
    many = built.search(VECTORS[:300], threads=3)
    assert [result.ids for result in one] == [result.ids for result in many]
    assert built.search(np.empty((0, DIM))) == []


def test_elements_come_and_go() -> None:
    index = quiverdb.Index(DIM, m=8, ef_construction=50)
    assert index.add(IDS[:300], VECTORS[:300]) == 300
    assert "7" in index and 7 in index and "300" not in index
    assert index.remove("7", "8", "300") == 2
    assert len(index) == 298 and "7" not in index and index.vector("7") is None
    assert "7" not in index.search(VECTORS[7], k=298, exact=True).ids
    assert index.add(["7", "9"], VECTORS[[7, 1000]]) == 1
    vector = index.vector("9")
    assert vector is not None
    np.testing.assert_allclose(vector, VECTORS[1000], rtol=1e-5, atol=1e-6)
    assert index.search(VECTORS[1000], k=1).ids == ["9"]
    assert sorted(index.ids()) == sorted(set(IDS[:300]) - {"8"})
    assert index.info()["size"] == 299 and index.info()["memory_bytes"] > 299 * DIM * 4


@pytest.mark.parametrize("storage", ["f32", "i8"])
def test_a_saved_index_answers_and_grows_alike(storage: Literal["f32", "i8"], tmp_path: Path) -> None:
    index = quiverdb.Index(DIM, metric="l2", storage=storage, m=6, ef_construction=40)
    index.add(IDS[:700], VECTORS[:700])
    index.remove(*IDS[100:150])
    index.save(tmp_path / "index")
    copy = quiverdb.Index.load(tmp_path / "index")
    assert copy.info() | {"memory_bytes": 0} == index.info() | {"memory_bytes": 0}
    for each in (index, copy):
        each.add(IDS[700:], VECTORS[700:])
    for first, second in zip(index.search(VECTORS[:50], ef=20), copy.search(VECTORS[:50], ef=20)):
        assert first.ids == second.ids
        np.testing.assert_array_equal(first.scores, second.scores)
    empty = quiverdb.Index(3)
    empty.save(tmp_path / "empty")
    assert len(quiverdb.Index.load(tmp_path / "empty")) == 0


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    index = quiverdb.Index(2)
    index.add(["a", "b", "c"], np.eye(3, 2) + 1)
    path = tmp_path / "index"
    index.save(path)
    good = path.read_bytes()
    for cut in range(len(good)):
        path.write_bytes(good[:cut])
        with pytest.raises(OSError):
            quiverdb.Index.load(path)
        path.write_bytes(good[:cut] + bytes([good[cut] ^ 1]) + good[cut + 1 :])
        with pytest.raises(OSError):
            quiverdb.Index.load(path)
    with pytest.raises(FileNotFoundError):
        quiverdb.Index.load(tmp_path / "nothing")


def test_mistakes_are_told(built: quiverdb.Index) -> None:
    for arguments in [{"dim": 0}, {"dim": 3, "metric": "x"}, {"dim": 3, "storage": "x"}, {"dim": 3, "m": 1}]:
        with pytest.raises(ValueError):
            quiverdb.Index(**arguments)  # type: ignore[arg-type]
    for vectors in [np.ones((1, DIM + 1)), np.full((1, DIM), np.nan), np.ones(DIM), np.ones((2, DIM))]:
        with pytest.raises(ValueError):
            built.add(["x"], vectors)
    with pytest.raises(ValueError):
        built.search(np.ones(DIM - 1))
    with pytest.raises(ValueError):
        built.search(np.full(DIM, np.inf))
    assert len(built) == N
    closed = quiverdb.Index(3)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        len(closed)


def test_searches_run_while_elements_are_added(built: quiverdb.Index) -> None:
    index = quiverdb.Index(DIM)
    index.add(IDS[:500], VECTORS[:500])
    failures: list[BaseException] = []

    def look() -> None:
        try:
            while len(index) < N:
                assert index.search(VECTORS[3], k=1, ef=100).ids == ["3"]
        except BaseException as error:
            failures.append(error)

    seekers = [threading.Thread(target=look) for _ in range(2)]
    for seeker in seekers:
        seeker.start()
    index.add(IDS[500:], VECTORS[500:])
    for seeker in seekers:
        seeker.join()
    assert not failures
