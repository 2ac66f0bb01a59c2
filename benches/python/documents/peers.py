#!/usr/bin/env python3
"""A peer behind the line protocol of `quiver-bench documents`: started by it, one process per peer, on one thread.

    peers.py NAME FOLDER      NAME is tantivy, tantivy-top, tantivy-stem, tantivy-stem-top or qdrant-local

Answers each line on standard input with one JSON object:

    ready                {"version": ..}                        sent once, unasked
    build                {"cpu_s": .., "bytes": ..}             a fresh index of all documents; growth of the resident size
    search KIND SECONDS  {"queries": .., "cpu_s": .., ..}       passes over all questions until SECONDS of CPU are spent

tantivy's questions are made before anything is timed, and its answer is the ten best by BM25; without `-top` all that
match are counted besides, as FT.SEARCH does. What a call from Python costs is measured with a question that nothing
matches and left out of the figures. Qdrant is its client's local mode; its KIND is `none`, `tag` or `group`, the last
two being filters of 1 % and 10 %.
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

LIMIT = 10


def resident_bytes():
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Rss:\s+(\d+) kB", file.read(), re.MULTILINE)[1]) * 1024


def lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().split("\n")


def timed(work, calls, seconds):
    """CPU seconds and calls of as many passes as fill `seconds`."""
    passes, start, spent = 0, time.process_time(), 0.0
    while spent < seconds:
        work()
        passes += 1
        spent = time.process_time() - start
    return spent, passes * calls


class Tantivy:
    package = "tantivy"

    def __init__(self, name, folder):
        self.count = not name.endswith("-top")
        self.tokenizer = "en_stem" if "-stem" in name else "default"
        self.texts = lines(f"{folder}/texts.txt")
        with open(f"{folder}/questions.json", encoding="utf-8") as file:
            self.questions = json.load(file)

    def build(self):
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_text_field("text", stored=False, tokenizer_name=self.tokenizer, index_option="position")
        self.schema = builder.build()
        self.index = tantivy.Index(self.schema)
        # One thread and enough memory for one segment.
        writer = self.index.writer(heap_size=1_000_000_000, num_threads=1)
        for text in self.texts:
            writer.add_document(tantivy.Document(text=text))
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()
        self.searcher = self.index.searcher()

    def stemmed(self, word):
        import tantivy

        if self.tokenizer == "default":
            return word
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        return builder.filter(tantivy.Filter.stemmer("english")).build().analyze(word)[0]

    def query(self, kind, words):
        import tantivy

        query = tantivy.Query
        if kind == "prefix":
            return query.regex_query(self.schema, "text", f"{words[0]}.*")
        words = [self.stemmed(word) for word in words]
        if kind == "phrase":
            return query.phrase_query(self.schema, "text", words)
        terms = [query.term_query(self.schema, "text", word, "freq") for word in words]
        occur = tantivy.Occur.Should if kind == "either" else tantivy.Occur.Must
        return query.boolean_query([(occur, term) for term in terms]) if len(terms) > 1 else terms[0]

    def search(self, kind, seconds):
        searcher, count = self.searcher, self.count
        queries = [self.query(kind, words) for words in self.questions[kind]]
        matches = sum(searcher.search(query, LIMIT, count=True).count for query in queries)

        def work():
            for query in queries:
                searcher.search(query, LIMIT, count=count)

        spent, calls = timed(work, len(queries), seconds)
        queries = [self.query("word", ["nothingmatchesthis"])] * len(queries)
        idle, idle_calls = timed(work, len(queries), seconds / 4)
        spent = max(spent - idle / idle_calls * calls, 1e-9)
        return {"queries": calls, "cpu_s": spent, "matches": matches}


class Qdrant:
    package = "qdrant-client"

    def __init__(self, name, folder):
        import numpy

        self.facts = [[int(number) for number in line.split()] for line in lines(f"{folder}/facts.txt")]
        self.vectors = numpy.fromfile(f"{folder}/vectors.f32", dtype="f4").reshape(len(self.facts), -1)
        self.asked = numpy.fromfile(f"{folder}/asked.f32", dtype="f4").reshape(-1, self.vectors.shape[1])

    def build(self):
        from qdrant_client import QdrantClient, models

        self.client = QdrantClient(":memory:")
        params = models.VectorParams(size=self.vectors.shape[1], distance=models.Distance.COSINE)
        self.client.create_collection("docs", vectors_config=params)
        payload = [{"tag": tag, "group": group} for tag, group, _ in self.facts]
        self.client.upload_collection("docs", self.vectors, payload=payload, ids=range(len(self.facts)))

    def search(self, kind, seconds):
        from qdrant_client import models

        def filters(number):
            if kind == "none":
                return None
            value = number % (100 if kind == "tag" else 10)
            return models.Filter(must=[models.FieldCondition(key=kind, match=models.MatchValue(value=value))])

        calls, start, spent = 0, time.process_time(), 0.0
        while spent < seconds:
            number = calls % len(self.asked)
            self.client.query_points("docs", query=self.asked[number], limit=LIMIT, query_filter=filters(number))
            calls += 1
            spent = time.process_time() - start
        return {"queries": calls, "cpu_s": spent, "matches": 0}


def main():
    name, folder = sys.argv[1:]
    peer = (Qdrant if name.startswith("qdrant") else Tantivy)(name, folder)
    print(json.dumps({"version": importlib.metadata.version(peer.package)}), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "build":
            gc.collect()
            before, start = resident_bytes(), time.process_time()
            peer.build()
            reply = {"cpu_s": time.process_time() - start, "bytes": resident_bytes() - before}
        else:
            reply = peer.search(arguments[0], float(arguments[1]))
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
