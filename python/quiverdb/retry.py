"""How often a failed call is tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """Attempts in all, and the pauses between them in seconds.

    A pause is drawn at random between 0 and ``base``, doubled with every failure up to ``cap``, so that clients that
    failed together do not come back together. Connecting is tried again, commands the server refused to run for now
    (``LOADING``, ``BUSY``, ``TRYAGAIN``, ``MASTERDOWN``), and of those that may have run the ones that can be repeated:
    reads, searches and upserts. ``execute`` and ``pipeline`` never repeat what may have run.
    """

    attempts: int = 3
    base: float = 0.05
    cap: float = 2.0


def spelled(retry: Retry | None) -> tuple[int, float, float]:
    """As the native side takes it."""
    return (1, 0.0, 0.0) if retry is None else (retry.attempts, retry.base, retry.cap)
