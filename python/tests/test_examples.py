"""The examples run, on the bundled data, and say what they are to say."""

from __future__ import annotations

import subprocess
import sys

import pytest

import quiverdb
from conftest import REPOSITORY, needs

EXAMPLES = REPOSITORY / "python" / "examples"


@pytest.mark.parametrize(
    ("program", "said", "command"),
    [
        ("semantic_search.py", "200 questions at once", "VMADD"),
        ("feature_lookup.py", "101 entities in", "FEAT.GET"),
        ("rag_cache.py", "round 3, globex", "SC.GET"),
    ],
)
def test_an_example_runs(program: str, said: str, command: str, port: int, db: quiverdb.Client) -> None:
    needs(db, command)
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / program), "--port", str(port)],
        capture_output=True, text=True, timeout=120, cwd=REPOSITORY,
    )
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout
