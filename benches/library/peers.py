#!/usr/bin/env python3
"""One index library behind the line protocol of `quiver-bench library`: started by it, one process per library.

    peers.py NAME FOLDER METRIC M EF_CONSTRUCTION K      METRIC is cosine or l2

Answers each line on standard input with one JSON object:

    ready          {"version": ..}                       sent once, unasked, when the data are in memory
    build          {"cpu_s": .., "bytes": ..}            a fresh index of all base rows; growth of the resident size
    search EF S    {"recall": .., "queries": .., "cpu_s": ..}    passes over all queries until S seconds of CPU are spent

One thread everywhere; CPU time is that of the whole process, so a library that starts threads gains nothing by it.
Vectors under cosine are normalised before anything is timed, and searched by inner product: the cheapest way there is.
"""

import gc
import importlib.metadata
import json
import os
import re
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np


class Hnswlib:
    package = "hnswlib"

    def build(self, base, metric, m, ef):
        import hnswlib

        self.index = hnswlib.Index(space="l2" if metric == "l2" else "ip", dim=base.shape[1])
        self.index.init_index(max_elements=len(base), M=m, ef_construction=ef, random_seed=100)
        self.index.set_num_threads(1)
        self.index.add_items(base, num_threads=1)

    def search(self, queries, k, ef):
        self.index.set_ef(ef)
        return self.index.knn_query(queries, k=k, num_threads=1)[0]


class Usearch:
    package = "usearch"

    def __init__(self, dtype):
        self.dtype = dtype

    def build(self, base, metric, m, ef):
        from usearch.index import Index

        self.index = Index(
            ndim=base.shape[1],
            metric="l2sq" if metric == "l2" else "ip",
            dtype=self.dtype,
            connectivity=m,
            expansion_add=ef,
        )
        self.index.add(np.arange(len(base)), base, threads=1)

    def search(self, queries, k, ef):
        self.index.expansion_search = ef
        return self.index.search(queries, k, threads=1).keys


class Faiss:
    package = "faiss-cpu"

    def __init__(self, sq8):
        self.sq8 = sq8

    def build(self, base, metric, m, ef):
        import faiss

        faiss.omp_set_num_threads(1)
        dim, kind = base.shape[1], faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        if self.sq8:
            self.index = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, m, kind)
            self.index.train(base)
        else:
            self.index = faiss.IndexHNSWFlat(dim, m, kind)
        self.index.hnsw.efConstruction = ef
        self.index.add(base)

    def search(self, queries, k, ef):
        self.index.hnsw.efSearch = ef
        return self.index.search(queries, k)[1]


PEERS = {
    "hnswlib": Hnswlib,
    "usearch-f32": lambda: Usearch("f32"),
    "usearch-i8": lambda: Usearch("i8"),
    "faiss-f32": lambda: Faiss(sq8=False),
    "faiss-sq8": lambda: Faiss(sq8=True),
}


def rows(path, metric):
    """A matrix of float32, of unit rows under cosine."""
    matrix = np.load(path).astype(np.float32)
    if metric == "cosine":
        matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-30)
    return np.ascontiguousarray(matrix)


def resident_bytes():
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Rss:\s+(\d+) kB", file.read(), re.MULTILINE)[1]) * 1024


def recall(found, truth):
    hits = sum(len(np.intersect1d(row, near)) for row, near in zip(found, truth))
    return hits / truth.size


def build(peer, base, metric, m, ef):
    peer.index = None
    gc.collect()
    peer.build(base[:64], metric, m, ef)  # imports and pools are not memory of an index
    peer.index = None
    gc.collect()
    before, start = resident_bytes(), time.process_time()
    peer.build(base, metric, m, ef)
    return {"cpu_s": time.process_time() - start, "bytes": resident_bytes() - before}


def search(peer, queries, truth, k, ef, seconds):
    found = peer.search(queries, k, ef)
    passes, start, spent = 0, time.process_time(), 0.0
    while spent < seconds:
        peer.search(queries, k, ef)
        passes += 1
        spent = time.process_time() - start
    return {"recall": recall(found, truth), "queries": passes * len(queries), "cpu_s": spent}


def main():
    name, folder, metric, m, ef_construction, k = sys.argv[1:]
    m, ef_construction, k = int(m), int(ef_construction), int(k)
    peer = PEERS[name]()
    base, queries = rows(f"{folder}/base.npy", metric), rows(f"{folder}/query.npy", metric)
    truth = np.load(f"{folder}/gt.npy")[:, :k]
    print(json.dumps({"version": importlib.metadata.version(peer.package)}), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "build":
            reply = build(peer, base, metric, m, ef_construction)
        else:
            reply = search(peer, queries, truth, k, int(arguments[0]), float(arguments[1]))
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
