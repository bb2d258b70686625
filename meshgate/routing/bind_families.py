"""
The address families of servers that listen on every address: unset (both), ``0.0.0.0`` (IPv4) and ``::`` (IPv6).

To Istio, a server without a bind and one with ``0.0.0.0`` are servers of one listener, and the older one decides about
IPv6 (pilot/pkg/networking/core/gateway.go, where only the first server of a listener brings further addresses). A
server with ``::`` has a listener of its own, which takes the IPv6 connections of its port. So a server may be reached
over more or fewer families than it asks for; each such server gets a problem.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from meshgate.resources.kinds.gateway import Gateway, Server
from meshgate.resources.kinds.protocols import HTTP_PROTOCOLS
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.compile.catalog import selected
from meshgate.routing.compile.servers import Proxy
from meshgate.routing.table import ANY_IPV4, ANY_IPV6, Listener, ListenerKey

UNSET = ""


class BindFamilies:
    """The servers of all Gateways that listen on every address, by port."""

    def __init__(self) -> None:
        # By port and bind.
        self._binds: dict[int, dict[str, dict[ResourceKey, Gateway]]] = {}
        # The ports with several binds.
        self._mixed: dict[int, None] = {}
        # Listeners for both families, each with the one for IPv4 alone that stands for it.
        self._narrowed: dict[ListenerKey, tuple[Listener, Listener]] = {}

    def add(self, gateway: Gateway) -> None:
        """Add a Gateway."""
        for server in _everywhere(gateway):
            binds = self._binds.setdefault(server.port.number, {})
            binds.setdefault(server.bind, {})[gateway.key] = gateway
            if len(binds) == 2:
                self._mixed[server.port.number] = None

    def remove(self, gateway: Gateway) -> None:
        """Remove a Gateway."""
        for server in _everywhere(gateway):
            binds = self._binds.get(server.port.number, {})
            gateways = binds.get(server.bind, {})
            gateways.pop(gateway.key, None)
            if not gateways:
                binds.pop(server.bind, None)
            if len(binds) < 2:
                self._mixed.pop(server.port.number, None)
            if not binds:
                self._binds.pop(server.port.number, None)

    def problems(self, proxy: Proxy, dropped: Collection[tuple[ResourceKey, int]]) -> Iterator[Problem]:
        """
        A warning for each server that is reached over other families than it asks for.

        :param dropped: the servers that the compiler has dropped, by Gateway and index.
        """
        if not proxy.ipv6:
            return
        for port in sorted(self._mixed):
            gateways = {key: each for same_bind in self._binds[port].values() for key, each in same_bind.items()}
            servers = [
                (gateway, index)
                for gateway in sorted(gateways.values(), key=Resource.order)
                if selected(gateway.spec.selector, proxy.labels)
                for index, server in enumerate(gateway.spec.servers)
                if server.port.number == port and _is_everywhere(server) and (gateway.key, index) not in dropped
            ]
            yield from _of_port([each for each in servers if _bind(*each) != ANY_IPV6])
            yield from _beside_ipv6(servers)

    def narrowed(self, listeners: Mapping[ListenerKey, Listener]) -> Mapping[ListenerKey, Listener]:
        """The same listeners, but one for both families is for IPv4 alone if another listener has the port's IPv6."""
        found = {}
        for port in self._mixed:
            listener = listeners.get(ListenerKey(ANY_IPV4, port))
            if listener is not None and listener.dual_stack and ListenerKey(ANY_IPV6, port) in listeners:
                pair = self._narrowed.get(listener.key)
                # A listener that has not changed stays the same object, so that comparing two tables skips it.
                if pair is None or pair[0] is not listener:
                    pair = (listener, replace(listener, dual_stack=False))
                found[listener.key] = pair
        self._narrowed = found
        return {**listeners, **{key: narrow for key, (_, narrow) in found.items()}} if found else listeners


def _everywhere(gateway: Gateway) -> Iterator[Server]:
    return (server for server in gateway.spec.servers if _is_everywhere(server))


def _is_everywhere(server: Server) -> bool:
    return server.bind in (UNSET, ANY_IPV4, ANY_IPV6) and server.port.protocol.upper() not in HTTP_PROTOCOLS


def _bind(gateway: Gateway, index: int) -> str:
    return gateway.spec.servers[index].bind


def _of_port(servers: list[tuple[Gateway, int]]) -> Iterator[Problem]:
    """The problems of servers of one listener whose bind differs from that of the oldest."""
    if not servers:
        return
    (oldest, first), *others = servers
    for gateway, index in others:
        if _bind(gateway, index) == _bind(oldest, first):
            continue
        if _bind(gateway, index) == UNSET:
            effect, cause = "is reached over IPv4 alone", f"is bound to {ANY_IPV4}"
        else:
            effect, cause = "is reached over IPv6, too", "has no bind"
        yield _problem(gateway, index, f"{effect}: it shares a listener with {_named(oldest, first)}, which {cause}")


def _beside_ipv6(servers: list[tuple[Gateway, int]]) -> Iterator[Problem]:
    """The problems of servers for both families on a port whose IPv6 connections another server takes."""
    ipv6 = [each for each in servers if _bind(*each) == ANY_IPV6]
    shared = [each for each in servers if _bind(*each) != ANY_IPV6]
    if ipv6 and shared and _bind(*shared[0]) == UNSET:
        for gateway, index in shared:
            if _bind(gateway, index) == UNSET:
                effect = f"is reached over IPv4 alone: the IPv6 connections of its port go to {_named(*ipv6[0])}"
                yield _problem(gateway, index, f"{effect}, which is bound to {ANY_IPV6}")


def _problem(gateway: Gateway, index: int, predicate: str) -> Problem:
    path = f"spec.servers[{index}]"
    bind = _bind(gateway, index)
    return gateway.problem(
        Severity.WARNING,
        "MG2074",
        f"the server {predicate}",
        path=f"{path}.bind" if bind else path,
        hint="write the same bind in all servers of a port, or none",
    )


def _named(gateway: Gateway, index: int) -> str:
    name = gateway.spec.servers[index].port.name
    return f"server {name!r} of Gateway {gateway.qualified_name} ({gateway.location(f'spec.servers[{index}]')})"
