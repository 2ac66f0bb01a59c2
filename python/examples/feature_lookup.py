#!/usr/bin/env python3
"""Feature lookup: what a model wants to know about many users, in one call, by columns.

    feature_lookup.py [--port 6379]
"""

import argparse
import time
from datetime import datetime, timedelta, timezone

import numpy as np

import quiverdb

USERS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=6379)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    now = datetime.now(timezone.utc)

    with quiverdb.Client(port=args.port) as db:
        features = db.features
        features.create_view(
            "example:user",
            prefix="example:user:",
            features={"age": "i64", "spent": "f64", "country": "string", "clicks_1h": quiverdb.Feature("i64", ttl=3600)},
            max_age=7 * 86400,
            replace=True,
        )
        stored = features.put_many(
            "example:user",
            {
                "entity": [f"u{i}" for i in range(USERS)],
                "age": rng.integers(18, 90, USERS),
                "spent": rng.gamma(2.0, 50.0, USERS).round(2),
                "country": rng.choice(["de", "fr", "pl"], USERS),
                "clicks_1h": rng.poisson(3, USERS),
            },
            at=now,
        )
        print(f"{stored} values stored")

        # Late data does not overwrite newer data, whatever order they arrive in.
        late = features.put("example:user", "u7", {"spent": 0.0}, at=now - timedelta(hours=1))
        print(f"an hour late: stored {late}")

        start = time.perf_counter()
        table = features.get([f"u{i}" for i in range(0, 200, 2)] + ["nobody"], "example:user", with_times=True)
        print(f"{len(table)} entities in {(time.perf_counter() - start) * 1e3:.2f} ms")
        print("mean age", table["age"][table.present("age")].mean(), "spent by u6", table["spent"][3])
        print("nobody's age is", table.statuses["age"][-1], "and u0's was told at", table.times["age"][0])
        print(table.to_dict()["country"][:5])


if __name__ == "__main__":
    main()
