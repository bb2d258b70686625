"""
The lookup of a chain by server name, which every connection needs.

A module of its own, because mypyc compiles it, and does not compile the dataclasses of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshgate.routing.table import Chain


def find_chain(
    sni: str | None, exact: Mapping[str, Chain], suffixes: Mapping[str, Chain], catch_all: Chain | None
) -> Chain | None:
    """
    Find the chain for a server name: the exact name, then the longest suffix, then the chain without names
    (Envoy, filter_chain_manager_impl.cc).

    :param sni: the server name, lower-cased and without a trailing dot, as the hello parser gives it; None for a
        connection without one, plain text included.
    :param exact: chains by full name.
    :param suffixes: chains by the part of a wildcard after ``*.``.
    :param catch_all: the chain for all other connections.
    """
    if sni is not None:
        chain = exact.get(sni)
        if chain is not None:
            return chain
        if suffixes:
            dot = sni.find(".")
            while dot >= 0:
                chain = suffixes.get(sni[dot + 1 :])
                if chain is not None:
                    return chain
                dot = sni.find(".", dot + 1)
    return catch_all


def suffix_pattern(sni: str, suffixes: Mapping[str, Chain]) -> str:
    """Return the wildcard by which :func:`find_chain` finds the chain for a name that has no exact one, or ``*``."""
    dot = sni.find(".") if suffixes else -1
    while dot >= 0:
        suffix = sni[dot + 1 :]
        if suffix in suffixes:
            return f"*.{suffix}"
        dot = sni.find(".", dot + 1)
    return "*"
