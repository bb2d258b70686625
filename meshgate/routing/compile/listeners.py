"""
The listeners of the table: their chains, and the address families that they serve.

:class:`ListenerBuilder` collects the chains of one listener in Istio's order, without those that Envoy would refuse.
Envoy refuses a whole listener for one bad or doubled name (filter_chain_manager_impl.cc). Here only the later chain is
dropped, and the problem names the earlier one.

:class:`BindFamilies` watches the servers that listen on every address: with ``bind`` unset (both families),
``0.0.0.0`` (IPv4) and ``::`` (IPv6). To Istio, a server without a bind and one with ``0.0.0.0`` are servers of one
listener, and the older one decides about IPv6 (pilot/pkg/networking/core/gateway.go, where only the first server of a
listener brings further addresses). A server with ``::`` has a listener of its own, which takes the IPv6 connections of
its port. So a server may be reached over more or fewer families than it asks for; each such server gets a problem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshgate.resources.kinds.gateway import Gateway, Server
from meshgate.resources.kinds.shared_fields import EVERYBODY, HTTP_PROTOCOLS
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.precedence import in_cluster, precedence
from meshgate.routing.compile.selection import selected
from meshgate.routing.compile.servers import Age, BoundServer
from meshgate.routing.table import (
    ANY_IPV4,
    ANY_IPV6,
    ANYWHERE,
    CATCH_ALL,
    Addresses,
    ByAddress,
    Chain,
    Listener,
    ListenerKey,
)

_UNSET = ""
"""The bind of a server that leaves it unset."""


@dataclass(frozen=True, slots=True)
class Owner:
    """
    The source of a chain, for messages.

    :ivar virtual_service: of the rule; None for a server without rules.
    :ivar path: of the rule, or of one of its match blocks.
    :ivar sni_host: the server name as the rule has it, if it was cut to the server's hosts; else empty.
    """

    server: BoundServer
    virtual_service: VirtualService | None = None
    path: str = ""
    sni_host: str = ""

    @property
    def resource(self) -> Resource[Any]:
        """The VirtualService of the rule, or else the Gateway of the server."""
        return self.server.gateway if self.virtual_service is None else self.virtual_service

    def comes_before(self, other: Owner) -> str:
        """Why a rule comes before another, in words that follow its name and a comma."""
        mine, others = self.virtual_service, other.virtual_service
        if mine is not None and mine is others:
            return "by the order of its rules"
        if self.server.gateway is not other.server.gateway:
            return f"since its Gateway comes first, {precedence(self.server.gateway, other.server.gateway)}"
        if mine is None or others is None:
            return "by the order of servers"
        if (EVERYBODY in mine.spec.export_to) != (EVERYBODY in others.spec.export_to):
            return "by exportTo, which counts before the age"
        return precedence(mine, others) if mine.order() < others.order() else "by the order of servers"

    def is_same_rule(self, other: Owner) -> bool:
        """True if both are the same match block, or the same rule, or the same server without rules."""
        if self.virtual_service is None:
            return other.virtual_service is None and self.server is other.server
        return self.virtual_service is other.virtual_service and self.path == other.path

    def __str__(self) -> str:
        if self.virtual_service is None:
            return str(self.server)
        location = self.virtual_service.location(self.path)
        return f"VirtualService {self.virtual_service.qualified_name} ({location}) {self.path}"


class ListenerBuilder:
    """
    Collects the chains of one listener.

    :param oldest: a server of the listener.
    :ivar oldest: the oldest server added so far; its bind decides about IPv6.
    :ivar teller: the oldest one that speaks of PROXY headers, where a Gateway comes before the settings; or None.
    """

    def __init__(self, oldest: BoundServer) -> None:
        self.key: ListenerKey = oldest.key
        self.oldest = oldest
        self.teller: BoundServer | None = None
        self._exact: dict[str, Chain] = {}
        self._suffixes: dict[str, Chain] = {}
        self._catch_all: Chain | None = None
        self._owners: dict[str, Owner] = {}
        self._by_address: dict[str, dict[Addresses, tuple[Chain, Owner]]] = {}
        self._sniffs = False
        self._serves = False

    def add_server(self, server: BoundServer) -> None:
        """Add a server of the listener."""
        if server is not self.oldest and server.age < self.oldest.age:
            self.oldest = server
        if server.header is not None and (self.teller is None or _rank(server) < _rank(self.teller)):
            self.teller = server

    def finish(self) -> None:
        """Forget who has the names: after this, only whole builders are merged."""
        self._owners = {}

    def merge(self, other: ListenerBuilder) -> None:
        """Add all of another builder of the same listener. The two have no name in common."""
        self.add_server(other.oldest)
        if other.teller is not None:
            self.add_server(other.teller)
        self._exact.update(other._exact)
        self._suffixes.update(other._suffixes)
        self._catch_all = self._catch_all or other._catch_all
        self._by_address.update(other._by_address)
        self._sniffs |= other._sniffs
        self._serves |= other._serves

    def refuse(self, names: tuple[str, ...]) -> tuple[str, Owner | None] | None:
        """
        Why Envoy would refuse a chain with these names, in words, and the owner of one of them, if that is the reason;
        None if Envoy would not refuse it.
        """
        for name in [name for name in names if name.startswith("*")]:
            if name != CATCH_ALL and not name.startswith("*."):
                return f"{name} is a partial wildcard, which Envoy does not accept as a server name", None
        seen = set(names)
        if len(seen) < len(names):
            return f"{Counter(names).most_common(1)[0][0]} stands twice in one block", None
        wanted = {CATCH_ALL} if CATCH_ALL in seen or not seen else seen
        taken = min(self._owners.keys() & wanted, default=None)
        if taken is None:
            return None
        subject = "connections without a matching name go" if taken == CATCH_ALL else f"{taken} goes"
        return f"{subject} to {self._owners[taken]} already", self._owners[taken]

    def add(self, chain: Chain, owner: Owner, *, sniffs: bool) -> None:
        """
        Add a chain that :meth:`refuse` does not refuse.

        :param sniffs: the chain comes from a server whose clients speak TLS.
        """
        if not chain.names or CATCH_ALL in chain.names:
            self._catch_all = chain
            self._owners[CATCH_ALL] = owner
        else:
            wild = [name for name in chain.names if name.startswith("*.")]
            exact = [name for name in chain.names if not name.startswith("*.")]
            self._owners.update(dict.fromkeys(chain.names, owner))
            self._suffixes.update({name[2:]: chain for name in wild})
            self._exact.update(dict.fromkeys(exact, chain))
        self._note(chain, sniffs)

    def add_by_address(
        self, name: str, addresses: Addresses, chain: Chain, owner: Owner, *, sniffs: bool
    ) -> Owner | None:
        """
        Add a chain for one name between some addresses, unless these are taken. A name for which another server
        terminates TLS is taken for all addresses.

        :return: the owner of the name and the addresses, if they are taken.
        """
        everywhere = self._owners.get(name)
        if everywhere is not None and (addresses == ANYWHERE or everywhere.server is not owner.server):
            return everywhere
        if addresses == ANYWHERE:
            self.add(replace(chain, names=() if name == CATCH_ALL else (name,)), owner, sniffs=sniffs)
            return None
        same_name = self._by_address.setdefault(name, {})
        if addresses in same_name:
            return same_name[addresses][1]
        same_name[addresses] = (chain, owner)
        self._note(chain, sniffs)
        return None

    def _note(self, chain: Chain, sniffs: bool) -> None:
        self._sniffs |= sniffs
        self._serves |= not chain.refusal or bool(chain.virtual_service)

    def build(self) -> Listener | None:
        """The listener; None if it serves nothing, so that its port stays closed."""
        if not self._serves:
            return None
        by_address = {
            name: ByAddress.of({addresses: chain for addresses, (chain, _) in limited.items()})
            for name, limited in self._by_address.items()
        }
        return Listener(
            key=self.key,
            dual_stack=self.oldest.both_families,
            sniffs=self._sniffs,
            exact=self._exact,
            suffixes=self._suffixes,
            catch_all=self._catch_all,
            by_address=by_address,
            header=None if self.teller is None or self.teller.header is None else self.teller.header.header,
        )


def _rank(server: BoundServer) -> tuple[bool, Age]:
    """Sorts servers that speak of PROXY headers; the first decides."""
    return server.header is None or not server.header.by_gateway, server.age


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
    return server.bind in (_UNSET, ANY_IPV4, ANY_IPV6) and server.port.protocol.upper() not in HTTP_PROTOCOLS


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
        if _bind(gateway, index) == _UNSET:
            effect, cause = "is reached over IPv4 alone", f"is bound to {ANY_IPV4}"
        else:
            effect, cause = "is reached over IPv6, too", "has no bind"
        reason = _first_in_port(oldest, gateway, servers)
        holder = f"{_named(oldest, first)}, which {cause} and comes first, {reason}"
        yield _problem(gateway, index, f"{effect}: it shares a listener with {holder}")


def _first_in_port(oldest: Gateway, other: Gateway, servers: Sequence[tuple[Gateway, int]]) -> str:
    """Why a Gateway comes first among the servers of a port, and who would in a cluster if its bind is another."""
    if oldest is other:
        return "by the order of servers"
    gateway, index = min(servers, key=lambda each: each[0].order_in_cluster())
    binds = {_bind(*each) for each in servers if each[0] is oldest}
    by_name = oldest if _bind(gateway, index) in binds else gateway
    return precedence(oldest, other) + in_cluster(oldest, other, by_name)


def _beside_ipv6(servers: list[tuple[Gateway, int]]) -> Iterator[Problem]:
    """The problems of servers for both families on a port whose IPv6 connections another server takes."""
    ipv6 = [each for each in servers if _bind(*each) == ANY_IPV6]
    shared = [each for each in servers if _bind(*each) != ANY_IPV6]
    if ipv6 and shared and _bind(*shared[0]) == _UNSET:
        for gateway, index in shared:
            if _bind(gateway, index) == _UNSET:
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
