"""Calls of more than one request, for both clients: generators that yield requests and are sent the answers.

A request is a function of the native connection. The blocking client calls it, the asynchronous one awaits what it
gives; what happens in between is here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

from quiverdb._arrays import Word
from quiverdb._errors import ResponseError
from quiverdb._words import is_unknown

if TYPE_CHECKING:
    from quiverdb._settings import Configured
    from quiverdb._tables import Elements

T = TypeVar("T")
Ask = Callable[[Any], Any]
"""A request: what to ask of a connection."""
Flow = Generator[Ask, Any, T]
"""Requests one after the other, and what comes of them."""

# Rows of an addition element by element, as Redis has it.
ROWS_PER_PIPELINE = 256


def run(flow: Flow[T], link: Any) -> T:
    """Asks what the flow wants to know of a blocking connection."""
    try:
        ask = next(flow)
        while True:
            try:
                answer = ask(link)
            except Exception as error:
                ask = flow.throw(error)
            else:
                ask = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(flow: Flow[T], link: Any) -> T:
    """As :func:`run`, of a connection whose answers are awaited."""
    try:
        ask = next(flow)
        while True:
            try:
                answer = await ask(link)
            except Exception as error:
                ask = flow.throw(error)
            else:
                ask = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def upsert(client: Configured, key: Word, batch: Elements, options: list[Word]) -> Flow[int]:
    """Adds a batch at once, or one by one where the server has no other way; how many are new."""
    if not len(batch.ids):
        return 0
    if client._has_own_commands:
        try:
            return int((yield lambda link: link.vector_add(key, *batch, options, True)))
        except ResponseError as error:
            if not is_unknown(error):
                raise
            client._has_own_commands = False
    return (yield from add(key, batch, options, ROWS_PER_PIPELINE))


def add(key: Word, batch: Elements, options: list[Word], size: int) -> Flow[int]:
    """Adds a batch one by one, in pipelines of ``size``; how many are new."""
    new = 0
    for start in range(0, len(batch.ids), size):
        part = slice(start, start + size)
        texts = batch.attributes and batch.attributes[part]
        ids, rows = batch.ids[part], batch.vectors[part]
        new += int((yield lambda link: link.vector_add(key, ids, rows, texts, options, False)))
    return new


def search(
    client: Configured, key: Word, queries: NDArray[np.float32], options: list[Word], with_attributes: bool
) -> Flow[Any]:
    """Hits of each query. On Redis, which answers no attributes with them, those are read afterwards."""
    if client._has_own_commands:
        try:
            return (yield lambda link: link.vector_search(key, queries, options, with_attributes, True))
        except ResponseError as error:
            if not is_unknown(error):
                raise
    found = yield lambda link: link.vector_search(key, queries, options, False, False)
    client._has_own_commands = False
    if not with_attributes:
        return found
    asked = [("VGETATTR", key, id) for ids, _, _ in found for id in ids]
    texts = iter((yield lambda link: link.pipeline(asked, True)))
    return [(ids, scores, [text_or_none(next(texts)) for _ in ids]) for ids, scores, _ in found]


def remove(key: Word, ids: Iterable[Word]) -> Flow[int]:
    """Removes elements; how many there were."""
    commands = [("VREM", key, id) for id in ids]
    replies = yield lambda link: link.pipeline(commands, False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return sum(map(bool, replies))


def text_or_none(value: Union[str, bytes, None]) -> Optional[str]:
    """A text that a reply may have or not."""
    return value.decode() if isinstance(value, bytes) else value
