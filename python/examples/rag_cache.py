#!/usr/bin/env python3
"""A cache for answers: who asks what was asked before, in other words, gets the answer without retrieval or a model.

    rag_cache.py [--port 6379] [--dataset datasets/wordnet-minilm-5k]

Retrieval is a search over the bundled glosses; the model is a function that strings together what was retrieved. Put
your own embedding and your own model in their places.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import quiverdb

KEY = "example:rag"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--dataset", type=Path, default=Path("datasets/wordnet-minilm-5k"))
    args = parser.parse_args()
    vectors = np.load(args.dataset / "base.npy")
    texts = (args.dataset / "base.txt").read_text(encoding="utf-8").splitlines()
    questions = np.load(args.dataset / "query.npy")[:100].astype("f4")
    asked = (args.dataset / "query.txt").read_text(encoding="utf-8").splitlines()[:100]

    with quiverdb.Client(port=args.port) as db:
        db.delete(KEY)
        db.upsert(KEY, vectors, attributes=[{"text": text} for text in texts])
        cache = db.semantic_cache("example:answers")
        cache.drop()
        cache.configure(threshold=0.95, ttl=3600, max_entries=10_000)

        def retrieve_and_generate(embedding: np.ndarray) -> str:
            found = db.search(KEY, embedding, k=3, with_attributes=True)
            time.sleep(0.005)  # what a model would take is a hundred times as long
            return "; ".join(attributes["text"] for attributes in found.attributes or ())

        def answer(prompt: str, embedding: np.ndarray, tenant: str) -> str:
            hit = cache.get(prompt, embedding, scope=tenant)
            if hit is not None:
                return hit.response
            response = retrieve_and_generate(embedding)
            cache.set(prompt, response, embedding, scope=tenant, metadata={"sources": 3})
            return response

        rng = np.random.default_rng(1)
        for round, tenant in enumerate(["acme", "acme", "globex"]):
            start = time.perf_counter()
            for i, (prompt, embedding) in enumerate(zip(asked, questions)):
                # The second time half of them are asked in other words: a slightly different embedding.
                reworded = round == 1 and i % 2 == 1
                noise = rng.standard_normal(embedding.shape).astype("f4") * 0.01 if reworded else 0
                answer(prompt + " please" if reworded else prompt, embedding + noise, tenant)
            stats = cache.stats()
            print(
                f"round {round + 1}, {tenant:<6}: {(time.perf_counter() - start) * 10:.2f} ms per answer; so far"
                f" {stats['exact-hits']} exact and {stats['semantic-hits']} semantic hits, {stats['misses'] + stats['near-misses']} misses"
            )


if __name__ == "__main__":
    main()
