"""
The chain for a server name: what every connection asks of the table.

Knows names and the order in which they are tried; knows nothing of addresses, nor of what a chain is.
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
    The chain for a server name: exact, then the longest suffix, then the one without names
    (Envoy, filter_chain_manager_impl.cc).

    :param sni: lower-cased and without a trailing dot, as the hello parser gives it; None for a connection that shows
        none, plain text among them.
    :param suffixes: by what follows ``*.``.
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
