#!/usr/bin/env python3
"""What Python programs get: quiverdb beside redis-py, on Quiver and on Redis.

    clients.py --quiver target/release/quiver-server --redis redis-server [--vectors 100000] [--rounds 3] [--out FILE]

Starts each server on an empty folder and measures, in rounds, medians of:

- bulk: vectors per second, by Client.upsert, and by redis-py's pipelines of VADD on the same server and on Redis; with
  the recall@10 of the sets they leave (of the 10 nearest by TRUTH, at EF 100);
- search: milliseconds of one query at a time, through quiverdb, redis-py, and a socket that only sends prepared bytes
  and reads to the end of the reply;
- batch: 1,000 queries by search_batch against one by one;
- features: 100 entities x 50 features in one call, against a pipeline of HMGET through redis-py.

Vectors are rows of the bundled data set mixed in pairs, with noise. Exits with 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import redis

import quiverdb

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = 256
FEATURES, ENTITIES = 50, 100


def vectors_of(count: int, seed: int = 1) -> np.ndarray:
    base = np.load(ROOT / "datasets/wordnet-minilm-5k/base.npy").astype("f4")
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, len(base), (2, count))
    mixed = base[first] + 0.6 * base[second] + 0.02 * rng.standard_normal((count, base.shape[1]), dtype="f4")
    return np.ascontiguousarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), dtype="f4")


@contextmanager
def server(command: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        argv = [*shlex.split(command), "--port", str(port), "--save", "", "--dir", folder]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            client = redis.Redis(port=port)
            for _ in range(200):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pipelined(port: int, rows: np.ndarray) -> None:
    """What a careful user of redis-py writes today."""
    client = redis.Redis(port=port)
    for start in range(0, len(rows), PIPELINE):
        pipe = client.pipeline(transaction=False)
        for i in range(start, min(start + PIPELINE, len(rows))):
            pipe.execute_command("VADD", "docs", "FP32", rows[i].tobytes(), str(i))
        pipe.execute()


def recall(port: int, queries: np.ndarray) -> float:
    with quiverdb.Client(port=port, timeout=60) as db:
        near = [db.search("docs", query, k=10, ef=100).ids for query in queries]
        truth = [db.search("docs", query, k=10, exact=True).ids for query in queries]
    return sum(len(set(a) & set(b)) for a, b in zip(near, truth)) / (10 * len(queries))


def raw_search(port: int, queries: np.ndarray) -> list[float]:
    """Milliseconds of each query over a bare socket."""
    def command(query: np.ndarray) -> bytes:
        words = [b"VSIM", b"docs", b"FP32", query.tobytes(), b"WITHSCORES", b"COUNT", b"10"]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    requests = [command(query) for query in queries]
    times = []
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            start = time.perf_counter()
            link.sendall(request)
            reply = link.recv(65536)
            while reply.count(b"\r\n") < 41:  # a header, and 20 strings of two lines each
                reply += link.recv(65536)
            times.append((time.perf_counter() - start) * 1e3)
    return times


def each(work: Callable[[Any], Any], inputs: Any) -> list[float]:
    return [seconds(lambda: work(one)) * 1e3 for one in inputs]


def fill_features(port: int, own: bool) -> list[str]:
    rng = np.random.default_rng(3)
    names = [f"f{i}" for i in range(FEATURES)]
    columns = {name: rng.standard_normal(10_000) for name in names}
    if own:
        with quiverdb.Client(port=port) as db:
            db.features.create_view("user", "user:", {name: "f64" for name in names})
            db.features.put_many("user", {"entity": [f"{i}" for i in range(10_000)], **columns})
        return names
    pipe = redis.Redis(port=port).pipeline(transaction=False)
    for i in range(10_000):
        pipe.hset(f"user:{i}", mapping={name: float(columns[name][i]) for name in names})
        if i % 500 == 499:
            pipe.execute()
    return names


def feature_reads(port: int, own: bool, rounds: int) -> list[float]:
    names = fill_features(port, own)
    rng = np.random.default_rng(5)
    asked = [[str(i) for i in rng.integers(0, 10_000, ENTITIES)] for _ in range(rounds)]
    if own:
        with quiverdb.Client(port=port) as db:
            return each(lambda ids: db.features.get(ids, "user"), asked)
    client = redis.Redis(port=port)

    def read(ids: list[str]) -> None:
        pipe = client.pipeline(transaction=False)
        for id in ids:
            pipe.hmget(f"user:{id}", names)
        [[float(value) for value in row] for row in pipe.execute()]

    return each(read, asked)


def round_of(args: argparse.Namespace, number: int) -> dict[str, float]:
    rows, queries = vectors_of(args.vectors, number), vectors_of(1000, 1000 + number)
    out: dict[str, float] = {}
    with server(args.quiver) as port:
        out["bulk.redis-py"] = len(rows) / seconds(lambda: pipelined(port, rows))
        out["recall.redis-py"] = recall(port, queries[:200])
        out["features.quiverdb.p50"], out["features.quiverdb.p99"] = quantiles(feature_reads(port, True, 400))
    with server(args.quiver) as port, quiverdb.Client(port=port, timeout=60) as db:
        out["bulk.quiverdb"] = len(rows) / seconds(lambda: db.upsert("docs", rows))
        out["recall.quiverdb"] = recall(port, queries[:200])
        vset = redis.Redis(port=port).vset()
        for _ in range(2):  # the first run warms up
            out["search.raw"], _ = quantiles(raw_search(port, queries))
            out["search.quiverdb"], _ = quantiles(each(lambda query: db.search("docs", query), queries))
            out["search.redis-py"], _ = quantiles(
                each(lambda query: vset.vsim("docs", query.tobytes(), with_scores=True, count=10), queries)
            )
        out["batch.one-by-one"] = seconds(lambda: [db.search("docs", query) for query in queries]) * 1e3
        out["batch.quiverdb"] = seconds(lambda: db.search_batch("docs", queries)) * 1e3
    if args.redis:
        with server(args.redis) as port:
            out["features.redis-py.p50"], out["features.redis-py.p99"] = quantiles(feature_reads(port, False, 400))
            some = rows[: args.redis_vectors]
            out["bulk.redis"] = len(some) / seconds(lambda: pipelined(port, some))
    return out


def quantiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), sorted(times)[int(len(times) * 0.99)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiver", default=str(ROOT / "target/release/quiver-server"))
    parser.add_argument("--redis", default="")
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--redis-vectors", type=int, default=20_000, help="how many Redis is given; it slows with more")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rounds = []
    for number in range(args.rounds):
        rounds.append(round_of(args, number))
        print(json.dumps(rounds[-1]), file=sys.stderr)
    median = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    for name, value in median.items():
        print(f"{name:<24} {value:12.3f}")
    promises = [
        ("bulk, quiverdb / redis-py", median["bulk.quiverdb"] / median["bulk.redis-py"], 3, True),
        ("search, quiverdb / raw socket", median["search.quiverdb"] / median["search.raw"], 1.3, False),
        ("batch, one by one / at once", median["batch.one-by-one"] / median["batch.quiverdb"], 3, True),
    ]
    if args.redis:
        promises += [
            ("bulk, quiverdb / redis-py on Redis", median["bulk.quiverdb"] / median["bulk.redis"], 5, True),
            ("features p50, quiverdb / redis-py on Redis",
             median["features.quiverdb.p50"] / median["features.redis-py.p50"], 0.3, False),
        ]
    held = True
    for what, ratio, bound, least in promises:
        good = ratio >= bound if least else ratio <= bound
        held &= good
        print(f"{'PASS' if good else 'FAIL'}  {what}: {ratio:.2f} (promised {'>=' if least else '<='} {bound})")
    if args.out:
        args.out.write_text(json.dumps({"arguments": vars(args) | {"out": str(args.out)}, "rounds": rounds}, indent=1))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
