"""
The way in by one listener: what the table in force has for it, laid out for those who come in.

Knows a listener's key and the parts of the table that are asked for every connection; knows nothing of connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshgate.routing.lookup import find_chain
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable

_NONE: Final[Mapping[str, Chain]] = {}


class ServedListener:
    """
    One listener, for as long as the process runs.

    :ivar name: what it listens on, as the log has it.
    :ivar active: how many connections that came in by it live.
    :ivar in_table: as the table has it; None if it has none, or no more.
    :ivar sniffs: as of the listener.
    :ivar by_address: whether addresses matter, too, so that :meth:`chain` does not know.
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
        """There is another table."""
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
        """The chain for a server name, as :func:`~meshgate.routing.lookup.find_chain`."""
        return find_chain(sni, self._exact, self._suffixes, self._catch_all)
