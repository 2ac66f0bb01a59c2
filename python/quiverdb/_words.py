"""Commands as words, for both clients; and what their settings are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Optional, TypedDict
from urllib.parse import parse_qsl, unquote, urlsplit

from quiverdb._arrays import Text, Word
from quiverdb._errors import ResponseError
from quiverdb.retry import Retry, spelled

Quant = Literal["q8", "noquant", "bin"]


class SearchOptions(TypedDict, total=False):
    """What a search takes besides its query: see :meth:`quiverdb.Client.search`."""

    ef: Optional[int]
    with_attributes: bool
    exact: bool
    filter: Optional[str]
    filter_ef: Optional[int]
    recall: Optional[float]
    epsilon: Optional[float]


def settings_of_url(url: str) -> dict[str, Any]:
    """Settings of a client from ``redis://[[user]:password@]host[:port][/db]``."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "quiver"):
        raise ValueError(f"cannot connect to {parts.scheme or url!r}: use redis://host:port")
    settings: dict[str, Any] = {"host": parts.hostname or "127.0.0.1", "port": parts.port or 6379}
    if parts.username:
        settings["username"] = unquote(parts.username)
    if parts.password is not None:
        settings["password"] = unquote(parts.password)
    if parts.path.strip("/"):
        settings["db"] = int(parts.path.strip("/"))
    settings.update((name, int(value)) for name, value in parse_qsl(parts.query) if name == "db")
    return settings


def native_settings(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """A client's settings as the native side takes them."""
    retry: Optional[Retry] = settings["retry"]
    login = (settings["username"], settings["password"])
    return (
        settings["host"], settings["port"], login, settings["db"], settings["timeout"], spelled(retry),
        settings["decode"],
    )


def set_words(key: Word, value: Word, ex: Optional[int], px: Optional[int], nx: bool, xx: bool) -> list[Word]:
    """SET and its options."""
    words: list[Word] = ["SET", key, value]
    if ex is not None:
        words += ["EX", ex]
    if px is not None:
        words += ["PX", px]
    if nx:
        words.append("NX")
    if xx:
        words.append("XX")
    return words


def hset_words(
    key: Word, field: Optional[Word], value: Optional[Word], mapping: Optional[Mapping[Any, Word]]
) -> list[Word]:
    """HSET with one field, those of a mapping, or both."""
    words = flat(mapping or {})
    if field is not None and value is not None:
        words = [field, value, *words]
    return ["HSET", key, *words]


def scan_words(match: Optional[Text], count: int, type: Optional[str]) -> list[Word]:
    """What follows SCAN's cursor."""
    words: list[Word] = ["COUNT", count]
    if match is not None:
        words += ["MATCH", match]
    if type is not None:
        words += ["TYPE", type]
    return words


def search_options(
    k: int,
    ef: Optional[int],
    exact: bool,
    filter: Optional[str],
    filter_ef: Optional[int],
    recall: Optional[float],
    epsilon: Optional[float],
) -> list[Word]:
    """Options of VSIM and its relatives."""
    options: list[Word] = ["COUNT", k]
    if ef is not None:
        options += ["EF", ef]
    if filter is not None:
        options += ["FILTER", filter]
    if filter_ef is not None:
        options += ["FILTER-EF", filter_ef]
    if recall is not None:
        options += ["RECALL", recall]
    if epsilon is not None:
        options += ["EPSILON", epsilon]
    if exact:
        options.append("TRUTH")
    return options


def recommend_words(
    key: Word, positive: Sequence[Word], negative: Sequence[Word], options: Iterable[Word], attributes: bool
) -> list[Word]:
    """VRECOMMEND with scores."""
    words: list[Word] = ["VRECOMMEND", key, "POSITIVE", len(positive), *positive]
    if negative:
        words += ["NEGATIVE", len(negative), *negative]
    words.append("WITHSCORES")
    if attributes:
        words.append("WITHATTRIBS")
    return [*words, *options]


def add_options(quant: Quant, ef: int, m: int) -> list[Word]:
    """Options of VADD and VMADD."""
    return [quant.upper(), "EF", ef, "M", m]


def flat(values: Mapping[Any, Word]) -> list[Word]:
    """Keys and values one after the other."""
    return [word for pair in values.items() for word in pair]


def is_unknown(error: ResponseError) -> bool:
    """Whether the server does not have what was asked for."""
    text = str(error)
    return "unknown command" in text or "syntax error in VSIM" in text


def text_of(value: Any) -> Any:
    """Bytes as text."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def info_of(reply: Any) -> dict[str, Any]:
    """VINFO's answer with its names as text."""
    return {text_of(name): text_of(value) for name, value in dict(reply or {}).items()}


def pairs_of(reply: Any) -> Iterable[tuple[Any, Any]]:
    """Names and values of a map, or of what RESP2 has for one."""
    return reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
