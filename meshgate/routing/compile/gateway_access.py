"""The access lists of Gateways, from their annotations."""

from __future__ import annotations

from collections.abc import Mapping

from meshgate.resources.kinds.access_annotations import ALLOW, DENY, wants_dry_run
from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.networks import split_networks
from meshgate.routing.access_lists import AccessEntries, AccessList


class GatewayAccess:
    """
    The Gateways with an access list, most often none.

    :ivar entries: their lists as users write them, by ``namespace/name``.
    :ivar lists: the same for the table. It is replaced when something changes, and never edited.
    """

    def __init__(self) -> None:
        self.entries: Mapping[str, AccessEntries] = {}
        self.lists: Mapping[str, AccessList] = {}

    def add(self, gateway: Gateway) -> None:
        """Add the list of a Gateway, if it has one."""
        found = gateway.annotations
        if ALLOW not in found and DENY not in found:
            return
        entries = AccessEntries(
            f"Gateway {gateway.qualified_name}",
            split_networks(found.get(ALLOW, "")),
            split_networks(found.get(DENY, "")),
            wants_dry_run(found),
        )
        access = entries.access_list()
        if access is not None:
            self.entries = {**self.entries, gateway.qualified_name: entries}
            self.lists = {**self.lists, gateway.qualified_name: access}

    def remove(self, gateway: Gateway) -> None:
        """Remove the list of a Gateway."""
        name = gateway.qualified_name
        if name in self.lists:
            self.entries = {each: entries for each, entries in self.entries.items() if each != name}
            self.lists = {each: access for each, access in self.lists.items() if each != name}
