#!/usr/bin/env python3
"""Semantic search: sentences by meaning, among those a filter accepts, like one and unlike another.

    semantic_search.py [--port 6379] [--dataset datasets/wordnet-minilm-5k]

The data set has 5,000 glosses of WordNet with their embeddings, and questions with theirs; with a model at hand you
would embed your own.
"""

import argparse
from pathlib import Path

import numpy as np

import quiverdb

KEY = "example:glosses"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--dataset", type=Path, default=Path("datasets/wordnet-minilm-5k"))
    args = parser.parse_args()
    vectors = np.load(args.dataset / "base.npy")
    texts = (args.dataset / "base.txt").read_text(encoding="utf-8").splitlines()
    questions = np.load(args.dataset / "query.npy")
    asked = (args.dataset / "query.txt").read_text(encoding="utf-8").splitlines()

    with quiverdb.Client(port=args.port) as db:
        # Row numbers become ids, dicts become attributes that filters can read.
        db.delete(KEY)
        db.upsert(KEY, vectors, attributes=[{"text": text, "words": len(text.split())} for text in texts], progress=True)

        print(f"? {asked[36]}")
        show(db.search(KEY, questions[36], k=3, with_attributes=True))

        print("\nthe same, in at most six words")
        show(db.search(KEY, questions[36], k=3, with_attributes=True, filter=".words <= 6"))

        best, second, *_ = db.search(KEY, questions[36], k=5).ids
        print(f"\nmore like {texts[int(best)]!r}, less like {texts[int(second)]!r}")
        show(db.recommend(KEY, [best], [second], k=3, with_attributes=True))

        results = db.search_batch(KEY, questions, k=1)
        print(f"\n{len(results)} questions at once; the surest answer has a score of {max(r.scores[0] for r in results):.3f}")


def show(result: quiverdb.SearchResult) -> None:
    for score, attributes in zip(result.scores, result.attributes or ()):
        print(f"  {score:.3f}  {attributes['text'][:90]}")


if __name__ == "__main__":
    main()
