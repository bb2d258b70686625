"""Which parts of the data path are compiled in this installation."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Final

from meshgate.routing.generation_news import listed

_PARTS: Final = {
    "connections": "meshgate.proxy.connection",
    "ClientHello": "meshgate.wire._hello",
    "log lines": "meshgate.proxy._line",
    "events": "meshgate.transport.lean._events",
    "sockets": "meshgate.transport.lean._sockets",
}
"""The parts that are compiled each on its own, by a module of each."""


def compiled_text() -> str:
    """``compiled``, ``not compiled``, or what is compiled of several parts."""
    compiled = [part for part, module in _PARTS.items() if _is_compiled(module)]
    if len(compiled) == len(_PARTS):
        return "compiled"
    return f"compiled in part ({listed(compiled, len(compiled))})" if compiled else "not compiled"


def _is_compiled(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and (spec.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
