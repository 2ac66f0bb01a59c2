#!/usr/bin/env python3
"""Semantic search from Python: questions to a running server, then the same index in this process.

    demo.py --port 6379 --dataset datasets/wordnet-minilm-5k [--key glosses]

The vector set `--key` holds the rows of `base.npy`, each named by its row number, with its text as an attribute;
if it does not exist yet, this program loads it. The last line of output gives recall and queries per second.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import quiverdb

K = 10
SHOWN = (188, 36, 154)
SHOWN_ANSWERS = 3
RECALL_MIN = 0.95


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--dataset", type=Path, default=Path("datasets/wordnet-minilm-5k"))
    parser.add_argument("--key", default="glosses")
    args = parser.parse_args()

    base = np.load(args.dataset / "base.npy")
    questions = np.load(args.dataset / "query.npy")
    truth = np.load(args.dataset / "gt.npy")[:, :K]
    texts = (args.dataset / "base.txt").read_text(encoding="utf-8").splitlines()
    asked = (args.dataset / "query.txt").read_text(encoding="utf-8").splitlines()
    ids = [str(row) for row in range(len(base))]

    with quiverdb.Client(args.host, args.port) as client:
        if not client.exists(args.key):
            client.add(args.key, ids, base, attributes=[{"text": text} for text in texts])
        for row in (row for row in SHOWN if row < len(questions)):
            result = client.search(args.key, questions[row], k=SHOWN_ANSWERS, with_attributes=True)
            print(f"? {asked[row][:96]}")
            for score, attributes in zip(result.scores, result.attributes or ()):
                print(f"  {score:.3f} {attributes['text'][:96]}")
        recall, rate = measure(lambda question: client.search(args.key, question, k=K).ids, questions, truth)
        print(f"{'client':<22} recall@{K} {recall:.3f}, {rate:.0f} queries/s, one at a time")

    with quiverdb.Index(base.shape[1]) as index:
        start = time.perf_counter()
        index.add(ids, base)
        seconds = time.perf_counter() - start
        here, fast = measure(lambda question: index.search(question, k=K).ids, questions, truth)
        print(f"{'index in this process':<22} recall@{K} {here:.3f}, {fast:.0f} queries/s, built in {seconds:.1f} s")

    print(f"recall {recall:.4f} queries_per_second {rate:.1f}")
    return 0 if min(recall, here) >= RECALL_MIN else f"recall@{K} is below {RECALL_MIN}"


def measure(search, questions, truth):
    """Mean share of the true neighbours that `search` finds, and how many questions it answers per second."""
    start = time.perf_counter()
    answers = [search(question) for question in questions]
    seconds = time.perf_counter() - start
    hits = sum(len(set(map(int, found)) & set(near.tolist())) for found, near in zip(answers, truth))
    return hits / truth.size, len(questions) / seconds


if __name__ == "__main__":
    sys.exit(main())
