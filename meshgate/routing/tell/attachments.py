"""
Attachments: which VirtualServices the servers of Gateways have taken, and on which listeners (the term is that of the
Kubernetes Gateway API, ``attachedRoutes``).

A change touches few of ten thousand chains, so :class:`Attachments` keeps what it has found, and says what has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from meshgate.routing.table import ListenerKey, RoutingTable


class ServerAttachments(NamedTuple):
    """
    The attachments of one server of a Gateway.

    :ivar server: the name of its port, which no other server of the Gateway has.
    :ivar listeners: those that have chains of the server, in order.
    :ivar routes: the number of VirtualServices that it has taken.
    :ivar refusal: why connections are closed instead of routed; empty if some of them are routed.
    """

    server: str
    listeners: tuple[ListenerKey, ...]
    routes: int
    refusal: str = ""


class GatewayAttachment(NamedTuple):
    """
    The attachment of a VirtualService to one Gateway.

    :ivar gateway: as ``namespace/name``.
    :ivar listeners: those that have chains of both, in order.
    """

    gateway: str
    listeners: tuple[ListenerKey, ...]


class Attachments:
    """
    The attachments in a table, by the names of the resources, as ``namespace/name``, kept from table to table.

    :ivar gateways: of each Gateway, by the names of its servers' ports.
    :ivar virtual_services: of each VirtualService, by the names of its Gateways.
    """

    def __init__(self) -> None:
        self.gateways: dict[str, tuple[ServerAttachments, ...]] = {}
        self.virtual_services: dict[str, tuple[GatewayAttachment, ...]] = {}
        self._found: set[_Attachment] = set()
        self._of_gateways: dict[str, set[_Attachment]] = defaultdict(set)
        self._of_virtual_services: dict[str, set[_Attachment]] = defaultdict(set)

    def update(self, table: RoutingTable) -> tuple[set[str], set[str]]:
        """
        Take the attachments of another table.

        :return: the Gateways and the VirtualServices whose attachments have changed.
        """
        found = {
            (chain.gateway, chain.virtual_service, chain.server, key, chain.refusal)
            for key, listener in table.listeners.items()
            for chain in listener.unordered_chains()
        }
        removed, added = self._found - found, found - self._found
        self._found = found
        for each in removed:
            self._of_gateways[each[0]].discard(each)
            self._of_virtual_services[each[1]].discard(each)
        for each in added:
            self._of_gateways[each[0]].add(each)
            self._of_virtual_services[each[1]].add(each)
        gateways = {each[0] for each in (*removed, *added)}
        virtual_services = {each[1] for each in (*removed, *added) if each[1]}
        for name in gateways:
            if of_gateway := self._of_gateways[name]:
                self.gateways[name] = tuple(_servers(of_gateway))
            else:
                self.gateways.pop(name, None)
        for name in virtual_services:
            if of_service := self._of_virtual_services[name]:
                self.virtual_services[name] = tuple(_gateways(of_service))
            else:
                self.virtual_services.pop(name, None)
        return gateways, virtual_services


_Attachment = tuple[str, str, str, ListenerKey, str]
"""Gateway, VirtualService, server, listener, and refusal of a chain."""


def _servers(attachments: Iterable[_Attachment]) -> Iterator[ServerAttachments]:
    by_server: dict[str, list[_Attachment]] = defaultdict(list)
    for each in attachments:
        by_server[each[2]].append(each)
    for server, own in sorted(by_server.items()):
        refusals = {each[4] for each in own}
        refusal = "" if "" in refusals else "; ".join(sorted(refusals))
        routes = {each[1] for each in own if each[1]}
        yield ServerAttachments(server, tuple(sorted({each[3] for each in own})), len(routes), refusal)


def _gateways(attachments: Iterable[_Attachment]) -> Iterator[GatewayAttachment]:
    by_gateway: dict[str, set[ListenerKey]] = defaultdict(set)
    for each in attachments:
        by_gateway[each[0]].add(each[3])
    for gateway, listeners in sorted(by_gateway.items()):
        yield GatewayAttachment(gateway, tuple(sorted(listeners)))
