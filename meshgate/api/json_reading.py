"""
JSON as Kubernetes' API reads it: what is read here is written again as JSON that every client understands.

Python reads more than that: numbers beyond any range, texts with half of a surrogate pair, and depth that other
functions cannot follow. An object with one of them would break each list that it is in, for each client.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

DEEPEST: Final = 100
"""The depth to which values may be nested; files have the same limit."""

_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(text: bytes) -> Any:
    """
    Read a value.

    A whole number beyond 64 bits becomes a fraction, and half of a surrogate pair a replacement character, as in
    Kubernetes.

    :raises ValueError: if the text is not JSON, or has a value that JSON of other programs cannot have.
    """
    decoded = text.decode()
    try:
        value = json.loads(decoded, parse_constant=_no_constant, parse_float=_fraction, parse_int=_number)
    except RecursionError:
        raise _too_deep() from None
    if text.count(b"[") + text.count(b"{") > DEEPEST and not is_shallow(value):
        raise _too_deep()
    return _without_surrogates(value) if _ESCAPED_SURROGATE.search(text) else value


def is_shallow(value: Any) -> bool:
    """True if a value is not nested more deeply than values may be."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _content(each) if isinstance(inner, dict | list)]
        if not level:
            return True
    return False


def duplicate_fields(text: bytes) -> tuple[str, ...]:
    """
    The names of fields that an object of a text has twice, of which the last one counts; each once.

    :param text: JSON; anything else has none.
    """
    found: dict[str, None] = {}

    def see(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = None
            seen.add(name)

    try:
        json.loads(text, object_pairs_hook=see)
    except (ValueError, RecursionError):
        return ()
    return tuple(_without_surrogates(name) for name in found)


def _content(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    return [_without_surrogates(each) for each in value] if isinstance(value, list) else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _fraction(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _number(text: str) -> int | float:
    value = int(text) if len(text) < 20 else _fraction(text)
    return value if isinstance(value, float) or _LEAST <= value <= _GREATEST else float(value)


def _too_deep() -> ValueError:
    return ValueError(f"it nests more than {DEEPEST} levels deep")
