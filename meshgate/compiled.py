"""
The forms of the data path in this installation: Python, machine code that mypyc made of it, and functions in C.

The problem: per connection, Python costs as much as the kernel does, but not every machine has a C compiler.

The approach: every module works as plain Python. An installation with a compiler has the modules of setup.py's
``COMPILED`` as extension modules of the same names, which need no choice. Beside that, four Python modules have an
optional twin in C, and choose between the two by :func:`c_form`, in this way and no other.

The invariant: the forms answer alike, and the tests of the data path run on each (``make test-compiled``).
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Any, Final

_MODULES: Final = {
    "connections": "meshgate.proxy.connection",
    "log lines": "meshgate.proxy._line",
    "counts": "meshgate.proxy._counts",
    "events": "meshgate.transport.lean._events",
    "sockets": "meshgate.transport.lean._sockets",
}
"""For each extension module, or group of those that are compiled together, what it serves and one module by name."""


def c_form(module: str, name: str) -> Any:
    """
    Return a function or class that is written in C.

    :param module: dotted name of the extension module.
    :param name: its name there.
    :return: None where this installation does not have the module.
    """
    try:
        return getattr(import_module(module), name)
    except ImportError:
        return None


def compiled_text() -> str:
    """``compiled``, ``not compiled``, or which of the data path is compiled."""
    compiled = [served for served, module in _MODULES.items() if _is_compiled(module)]
    if len(compiled) == len(_MODULES):
        return "compiled"
    return f"compiled in part ({', '.join(compiled)})" if compiled else "not compiled"


def _is_compiled(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and (spec.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
