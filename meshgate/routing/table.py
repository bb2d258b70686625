"""
The routing table, in which every connection is looked up.

A table has listeners, a listener has filter chains by server name, a chain has weighted destinations, and a destination
has endpoints; the words are Envoy's. The compiler makes a table, and workers route by it. Invariants: a table is
immutable and is replaced as a whole, so that a connection never sees half a change; unchanged listeners and chains are
the same objects in the next table, so that comparing tables is cheap; everything can be pickled. The cost of a lookup
depends on the number of labels of the name, and never on the number of routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain as chain_together
from typing import Final, NamedTuple

from meshgate.routing.access_lists import AccessList
from meshgate.routing.addresses import EVERYWHERE, Network, leading, socket_text
from meshgate.routing.connection_policy import (
    NO_CONNECTION_POLICY,
    NO_UPSTREAM_POLICY,
    ConnectionPolicy,
    UpstreamPolicy,
)
from meshgate.routing.lookup import find_chain
from meshgate.routing.proxy_headers import ExpectedHeader

ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 -- compared and shown, not bound
ANY_IPV6: Final = "::"

CATCH_ALL = "*"
"""The name of chains that take connections of every name, and those without a name."""


class ListenerKey(NamedTuple):
    """
    The identity of a listener: its bind and its port. Servers that leave ``bind`` unset share the listener of servers
    with the bind ``0.0.0.0``, as in Istio. The address on which it listens is :attr:`Listener.address`.
    """

    bind: str
    port: int

    def __str__(self) -> str:
        return socket_text(self.bind, self.port)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    An address and port to which connections are dialed.

    :ivar address: an IP address, a DNS name if :attr:`dns` is True, or ``unix:///path``.
    :ivar port: 1 to 65535; 0 for a Unix socket.
    :ivar dns: True if the address is a DNS name, which has to be resolved first.
    :ivar weight: its weight among the destination's endpoints; at least 1.
    :ivar priority: its level: it gets connections as far as endpoints of smaller numbers cannot serve them.
    :ivar locality: ``region/zone/subzone``, where localities decide; else empty.
    """

    address: str
    port: int
    dns: bool = False
    weight: int = 1
    priority: int = 0
    locality: str = ""

    def __str__(self) -> str:
        return socket_text(self.address, self.port)


EndpointAddress = tuple[str, int, bool]
"""The address and the port of an endpoint, and True if the address is a DNS name."""

ClusterKey = tuple[str, int, str]
"""The identity of a cluster: the host, port and subset of its destinations."""


@dataclass(frozen=True, slots=True)
class Destination:
    """
    A destination of a route: a service's host and port, with its endpoints.

    :ivar host: the full name, ``name.namespace.svc.cluster.local`` for a Service.
    :ivar port: the service port; 0 if the route names no port and the host is unknown.
    :ivar subset: the name of the subset; empty for all endpoints of the service.
    :ivar weight: the weight in the route; a single destination gets all connections whatever its weight.
    :ivar missing: why there are no endpoints, as text for people; empty if there are any.
    :ivar missing_code: the code of the problem that says so, or empty.
    :ivar policy: the policy for connections to the destination.
    """

    host: str
    port: int
    subset: str = ""
    weight: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    missing: str = ""
    missing_code: str = ""
    policy: UpstreamPolicy = NO_UPSTREAM_POLICY

    @property
    def cluster(self) -> ClusterKey:
        """The identity of its cluster: destinations of the same host, port and subset share one."""
        return self.host, self.port, self.subset

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.host}{port}" + (f" (subset {self.subset})" if self.subset else "")


@dataclass(frozen=True, slots=True)
class Chain:
    """
    A filter chain of a listener: the connections that it takes, and their destinations.

    :ivar names: the server names of the chain in lower case, as full names or ``*.suffix``; empty for a chain that
        takes all connections.
    :ivar gateway: the Gateway, as ``namespace/name``.
    :ivar server: the port name of the Gateway's server.
    :ivar virtual_service: the VirtualService, as ``namespace/name``; empty for a chain that terminates TLS without a
        rule.
    :ivar rule: the path of the rule in the VirtualService, as ``spec.tls[0].match[1]``.
    :ivar destinations: the destinations of the rule, of which one is chosen by weight.
    :ivar terminate: True if the Gateway's server is configured to terminate TLS.
    :ivar refusal: why connections of this chain are closed instead of routed; empty if they are routed. The chain keeps
        its names all the same, so that no other chain passes through what a server was to terminate.
    :ivar condition: the addresses to which the chain is limited, as text for people; empty if it is not limited.
    :ivar policy: the policy for its connections.
    """

    names: tuple[str, ...]
    gateway: str
    server: str
    virtual_service: str
    rule: str
    destinations: tuple[Destination, ...]
    terminate: bool = False
    refusal: str = ""
    condition: str = ""
    policy: ConnectionPolicy = NO_CONNECTION_POLICY


class Addresses(NamedTuple):
    """The networks to which the two addresses of a connection have to belong."""

    destination: Network
    source: Network


ANYWHERE = Addresses(EVERYWHERE, EVERYWHERE)


@dataclass(frozen=True, slots=True)
class ByAddress:
    """
    Chains of one name that are limited to some addresses. If several match, the longest network of the destination
    decides, then that of the source. The cost of a lookup depends on the number of different prefix lengths.

    :ivar lengths: pairs of prefix lengths that occur, of the destination and of the source; the longest first.
    """

    chains: Mapping[Addresses, Chain]
    lengths: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, chains: Mapping[Addresses, Chain]) -> ByAddress:
        """
        Index chains.

        :param chains: chains by their networks; the mapping is kept, not copied.
        """
        lengths = {(each.destination.length, each.source.length) for each in chains}
        return cls(chains, tuple(sorted(lengths, reverse=True)))

    def find(self, source: int | None, destination: int | None) -> Chain | None:
        """
        Find the chain for the addresses of a connection.

        :param source: the client's address as :func:`~meshgate.routing.addresses.address` gives it; None if it is
            unknown.
        :param destination: the address to which the client connected; likewise.
        """
        for to_length, from_length in self.lengths:
            to, origin = leading(destination, to_length), leading(source, from_length)
            if to is not None and origin is not None:
                chain = self.chains.get(Addresses(Network(to_length, to), Network(from_length, origin)))
                if chain is not None:
                    return chain
        return None


@dataclass(frozen=True, slots=True)
class Listener:
    """
    A listener: a port with its chains by server name.

    :ivar dual_stack: True if IPv6 is served as well, since the listener's oldest server leaves ``bind`` unset.
    :ivar sniffs: True if the first bytes of a connection decide; otherwise the destination of the catch-all chain is
        dialed as soon as a client connects.
    :ivar exact: chains by full name.
    :ivar suffixes: chains by the part of a wildcard after ``*.``, which stands for any number of labels.
    :ivar catch_all: the chain for all other connections; None to close them.
    :ivar by_address: chains that are limited to some addresses, by full name, wildcard, or ``*``; empty under Istio's
        semantics.
    :ivar header: the PROXY header with which connections begin; None for none.
    """

    key: ListenerKey
    dual_stack: bool
    sniffs: bool
    exact: Mapping[str, Chain] = field(default_factory=dict)
    suffixes: Mapping[str, Chain] = field(default_factory=dict)
    catch_all: Chain | None = None
    by_address: Mapping[str, ByAddress] = field(default_factory=dict)
    header: ExpectedHeader | None = None

    @property
    def address(self) -> ListenerKey:
        """The address on which it listens, as it is shown: ``[::]:31400`` for both families."""
        return ListenerKey(ANY_IPV6, self.key.port) if self.dual_stack else self.key

    def lookup(self, sni: str | None) -> Chain | None:
        """
        Find the chain for a server name, whatever the addresses.

        :param sni: see :func:`~meshgate.routing.lookup.find_chain`.
        """
        return find_chain(sni, self.exact, self.suffixes, self.catch_all)

    def lookup_from(self, sni: str | None, source: int | None, destination: int | None) -> Chain | None:
        """
        Find the chain for a server name and the addresses of the connection: of all that match, the one with the most
        specific name; of several with that name, the one with the longest networks.

        :param sni: see :func:`~meshgate.routing.lookup.find_chain`.
        :param source: see :meth:`ByAddress.find`.
        :param destination: likewise.
        """
        return self.match_from(sni, source, destination)[1] if self.by_address else self.lookup(sni)

    def match_from(self, sni: str | None, source: int | None, destination: int | None) -> tuple[str, Chain | None]:
        """Find a chain as :meth:`lookup_from`, with its name that has matched: a full name, a wildcard, or ``*``."""
        for name in _names_over(sni):
            limited = self.by_address.get(name)
            chain = limited.find(source, destination) if limited is not None else None
            if chain is None:
                chain = self._of_name(name)
            if chain is not None:
                return name, chain
        return CATCH_ALL, None

    def _of_name(self, name: str) -> Chain | None:
        """The chain of a name that is not limited to some addresses."""
        if name == CATCH_ALL:
            return self.catch_all
        return self.suffixes.get(name[2:]) if name.startswith("*.") else self.exact.get(name)

    def unordered_chains(self) -> Iterator[Chain]:
        """Every chain, some several times. With thousands of chains this is cheaper than :meth:`chains`."""
        yield from self.exact.values()
        yield from self.suffixes.values()
        if self.catch_all:
            yield self.catch_all
        for limited in self.by_address.values():
            yield from limited.chains.values()

    def chains(self) -> Iterator[Chain]:
        """Every chain once: named ones in the order of their names, the catch-all last, then those by address."""
        seen: set[int] = set()
        for chain in chain_together(
            (self.exact[name] for name in sorted(self.exact)),
            (self.suffixes[name] for name in sorted(self.suffixes)),
            [self.catch_all] if self.catch_all else [],
            (each for name in sorted(self.by_address) for each in self.by_address[name].chains.values()),
        ):
            if id(chain) not in seen:
                seen.add(id(chain))
                yield chain


def _names_over(sni: str | None) -> Iterable[str]:
    """Names of rules that take a server name, the most specific first."""
    if sni is not None:
        yield sni
        dot = sni.find(".")
        while dot >= 0:
            yield f"*{sni[dot:]}"
            dot = sni.find(".", dot + 1)
    yield CATCH_ALL


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """
    All listeners of one generation.

    :ivar generation: the number of the table, counted from 1 by the process that compiles; 0 for the empty table before
        the first.
    :ivar access: the access lists of Gateways that have one, by ``namespace/name``.
    :ivar all_destinations: the destinations of all chains, each object once; None in a table for which nobody has
        collected them, so that :meth:`destinations` walks through the chains.
    """

    generation: int = 0
    listeners: Mapping[ListenerKey, Listener] = field(default_factory=dict)
    access: Mapping[str, AccessList] = field(default_factory=dict)
    all_destinations: tuple[Destination, ...] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls, generation: int, listeners: Mapping[ListenerKey, Listener], access: Mapping[str, AccessList]
    ) -> RoutingTable:
        """A table, with the destinations of all its chains collected."""
        found = {
            id(destination): destination
            for listener in listeners.values()
            for chain in listener.unordered_chains()
            for destination in chain.destinations
        }
        return cls(generation, listeners, access, tuple(found.values()))

    def destinations(self) -> Iterable[Destination]:
        """The destinations of all chains; equal ones may come several times."""
        if self.all_destinations is not None:
            return self.all_destinations
        return [
            destination
            for listener in self.listeners.values()
            for chain in listener.unordered_chains()
            for destination in chain.destinations
        ]

    def clusters(self) -> frozenset[ClusterKey]:
        """The clusters of all destinations."""
        return frozenset([destination.cluster for destination in self.destinations()])

    def dns_names(self) -> frozenset[str]:
        """The DNS names of all endpoints that have to be resolved."""
        return frozenset(
            endpoint.address
            for destination in self.destinations()
            for endpoint in destination.endpoints
            if endpoint.dns
        )
