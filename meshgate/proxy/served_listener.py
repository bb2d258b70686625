"""A listener that is served, with the routes that the table in force has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshgate.routing.lookup import find_chain
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable

_NONE: Final[Mapping[str, Chain]] = {}


class ServedListener:
    """
    One listener, for as long as the process runs.

    :ivar name: its address and port, as the access log names them.
    :ivar active: number of live connections that it has accepted.
    :ivar in_table: the listener of the table in force; None if the table does not have it.
    :ivar sniffs: as in the table.
    :ivar by_address: routes also depend on addresses, so that :meth:`chain` cannot choose one.
    """

    def __init__(self, key: ListenerKey) -> None:
        self.key = key
        self.name = str(key)
        self.active = 0
        self.in_table: Listener | None = None
        self.sniffs = False
        self.by_address = False
        self._exact = self._suffixes = _NONE
        self._catch_all: Chain | None = None

    def update(self, table: RoutingTable) -> None:
        """Apply another table."""
        listener = self.in_table = table.listeners.get(self.key)
        if listener is None:
            self.sniffs = self.by_address = False
            self._exact = self._suffixes = _NONE
            self._catch_all = None
        else:
            self.name = str(listener.address)
            self.sniffs, self.by_address = listener.sniffs, bool(listener.by_address)
            self._exact, self._suffixes = listener.exact, listener.suffixes
            self._catch_all = listener.catch_all

    def chain(self, sni: str | None) -> Chain | None:
        """Look up the chain for a server name, as :func:`~meshgate.routing.lookup.find_chain`."""
        return find_chain(sni, self._exact, self._suffixes, self._catch_all)
