"""
Attachments: which VirtualServices the servers of Gateways have taken, and on which listeners (the term is that of the
Kubernetes Gateway API, ``attachedRoutes``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Attachments:
    """
    The attachments in a table, by the names of the resources, as ``namespace/name``.

    :ivar gateways: of each Gateway, by the names of its servers' ports.
    :ivar virtual_services: of each VirtualService, by the names of its Gateways.
    """

    gateways: Mapping[str, Sequence[ServerAttachments]] = field(default_factory=dict)
    virtual_services: Mapping[str, Sequence[GatewayAttachment]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: RoutingTable) -> Attachments:
        """Collect the attachments of a table from its chains."""
        listeners: dict[tuple[str, str], dict[ListenerKey, None]] = defaultdict(dict)
        routes: dict[tuple[str, str], set[str]] = defaultdict(set)
        refusals: dict[tuple[str, str], set[str]] = defaultdict(set)
        taken: dict[tuple[str, str], dict[ListenerKey, None]] = defaultdict(dict)
        for key, listener in sorted(table.listeners.items()):
            for chain in listener.unordered_chains():
                server = (chain.gateway, chain.server)
                listeners[server][key] = None
                refusals[server].add(chain.refusal)
                if chain.virtual_service:
                    routes[server].add(chain.virtual_service)
                    taken[chain.virtual_service, chain.gateway][key] = None
        gateways: dict[str, list[ServerAttachments]] = defaultdict(list)
        for server in sorted(listeners):
            refusal = "" if "" in refusals[server] else "; ".join(sorted(refusals[server]))
            found = ServerAttachments(server[1], tuple(listeners[server]), len(routes[server]), refusal)
            gateways[server[0]].append(found)
        virtual_services: dict[str, list[GatewayAttachment]] = defaultdict(list)
        for virtual_service, gateway in sorted(taken):
            attachment = GatewayAttachment(gateway, tuple(taken[virtual_service, gateway]))
            virtual_services[virtual_service].append(attachment)
        return cls(dict(gateways), dict(virtual_services))
