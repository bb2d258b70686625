"""
The routing table: what a connection is looked up in. Immutable, replaced whole, picklable.

Knows names and destinations; knows nothing of the resources it was compiled from, nor of sockets.
The cost of a lookup depends on the number of labels of the name, never on the number of routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain as chain_together
from typing import Final, NamedTuple

from meshgate.routing.addresses import EVERYWHERE, Network, host_port, leading
from meshgate.routing.connection_policy import (
    NO_CONNECTION_POLICY,
    NO_UPSTREAM_POLICY,
    ConnectionPolicy,
    UpstreamPolicy,
)
from meshgate.routing.lookup import find_chain

ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 -- compared and shown, not bound
ANY_IPV6: Final = "::"

CATCH_ALL = "*"
"""Stands for every name, and for none."""


class ListenerKey(NamedTuple):
    """
    A listener's identity: the address it binds and its port. Servers that leave ``bind`` unset share the listener of
    those that write ``0.0.0.0``, as in Istio; what it listens on is :attr:`Listener.address`.
    """

    bind: str
    port: int

    def __str__(self) -> str:
        return host_port(self.bind, self.port)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One place a connection can be dialed at.

    :ivar address: an IP address, or a DNS name when :attr:`dns` is set.
    :ivar port: 1 to 65535.
    :ivar dns: the address is a name that has to be resolved first.
    :ivar weight: its share among the destination's endpoints; at least 1.
    """

    address: str
    port: int
    dns: bool = False
    weight: int = 1

    def __str__(self) -> str:
        return host_port(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Destination:
    """
    Where a route sends its connections: a service's host and port, with the endpoints behind it.

    :ivar host: the full name, ``name.namespace.svc.cluster.local`` for a Service.
    :ivar port: the service port; 0 where a route leaves it out and the host is unknown.
    :ivar subset: the subset's name, or empty.
    :ivar weight: as written; a single destination takes everything whatever its weight.
    :ivar endpoints: may be empty.
    :ivar missing: why there are no endpoints, in words, or empty.
    :ivar policy: how connections to it are made.
    """

    host: str
    port: int
    subset: str = ""
    weight: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    missing: str = ""
    policy: UpstreamPolicy = NO_UPSTREAM_POLICY

    @property
    def cluster(self) -> tuple[str, int, str]:
        """What it has in common with every other destination of the same host, port and subset."""
        return self.host, self.port, self.subset

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.host}{port}" + (f" (subset {self.subset})" if self.subset else "")


@dataclass(frozen=True, slots=True)
class Chain:
    """
    One filter chain of a listener: who it is for, and where it goes.

    :ivar names: the server names it was compiled for, lower case; ``*.suffix`` forms included; empty for
        a chain that takes everything.
    :ivar gateway: ``namespace/name``.
    :ivar server: the server's port name.
    :ivar virtual_service: ``namespace/name``; empty for a chain that terminates and has no rule.
    :ivar rule: the rule's path in the VirtualService, as ``spec.tls[0].match[1]``.
    :ivar condition: what addresses it is for, in words, or empty.
    :ivar terminate: the server ends TLS itself, as far as the configuration goes.
    :ivar refusal: why connections of this chain are closed instead of routed, or empty. Their names are held by it
        all the same: what a server was to terminate is never passed through by another chain.
    :ivar policy: how its connections are treated.
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
    """The networks that a connection's ends have to be in."""

    destination: Network
    source: Network


ANYWHERE = Addresses(EVERYWHERE, EVERYWHERE)


@dataclass(frozen=True, slots=True)
class ByAddress:
    """
    Chains of one name that are for some addresses only. Where several fit, the longest network of the destination
    decides, then that of the source. The cost of a lookup depends on how many lengths of networks there are.

    :ivar lengths: those of the destination's and the source's networks that occur together, the longest first.
    """

    chains: Mapping[Addresses, Chain]
    lengths: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, chains: Mapping[Addresses, Chain]) -> ByAddress:
        """:param chains: kept, not copied."""
        lengths = {(each.destination.length, each.source.length) for each in chains}
        return cls(chains, tuple(sorted(lengths, reverse=True)))

    def find(self, source: int | None, destination: int | None) -> Chain | None:
        """
        :param source: the client's address as :func:`~meshgate.routing.addresses.address` gives it; None where it is
            not known.
        :param destination: the address that the client connected to.
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
    One port: its chains by name.

    :ivar dual_stack: IPv6 is served as well: its oldest server leaves the bind unset.
    :ivar sniffs: the first bytes decide; otherwise the catch-all is dialed as soon as a client connects.
    :ivar exact: chains by full name.
    :ivar suffixes: chains by the part after ``*.``, any depth.
    :ivar catch_all: the chain without names, or None.
    :ivar by_address: chains for some addresses only, by name as it is written, ``*`` for those without names; none
        under Istio's semantics.
    """

    key: ListenerKey
    dual_stack: bool
    sniffs: bool
    exact: Mapping[str, Chain] = field(default_factory=dict)
    suffixes: Mapping[str, Chain] = field(default_factory=dict)
    catch_all: Chain | None = None
    by_address: Mapping[str, ByAddress] = field(default_factory=dict)

    @property
    def address(self) -> ListenerKey:
        """What it listens on, as people are told: ``[::]:31400`` for both families."""
        return ListenerKey(ANY_IPV6, self.key.port) if self.dual_stack else self.key

    def lookup(self, sni: str | None) -> Chain | None:
        """
        The chain for a server name, whatever the addresses.

        :param sni: see :func:`~meshgate.routing.lookup.find_chain`.
        """
        return find_chain(sni, self.exact, self.suffixes, self.catch_all)

    def lookup_from(self, sni: str | None, source: int | None, destination: int | None) -> Chain | None:
        """
        As :meth:`lookup`, with the addresses of the connection: of the chains that fit it, the one with the most
        specific name; of several with that name, the one with the longest networks.

        :param source: see :meth:`ByAddress.find`.
        """
        if not self.by_address:
            return self.lookup(sni)
        for name in _names_over(sni):
            limited = self.by_address.get(name)
            chain = limited.find(source, destination) if limited is not None else None
            if chain is None:
                chain = self._of_name(name)
            if chain is not None:
                return chain
        return None

    def _of_name(self, name: str) -> Chain | None:
        """The chain of a name, whatever the addresses."""
        if name == CATCH_ALL:
            return self.catch_all
        return self.suffixes.get(name[2:]) if name.startswith("*.") else self.exact.get(name)

    def unordered_chains(self) -> Iterator[Chain]:
        """Every chain, some several times; for whoever only looks through thousands."""
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
    """The names that a rule can have to take a server name, the most specific first."""
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

    :ivar generation: counts the tables of one process from 1; 0 is the empty table before the first.
    :ivar all_destinations: the destinations of all chains, each object once; None in a table for which nobody has
        collected them, so that :meth:`destinations` walks through the chains.
    """

    generation: int = 0
    listeners: Mapping[ListenerKey, Listener] = field(default_factory=dict)
    all_destinations: tuple[Destination, ...] | None = field(default=None, compare=False, repr=False)

    def destinations(self) -> Iterable[Destination]:
        """The destinations of all chains; equal ones may be there several times."""
        if self.all_destinations is not None:
            return self.all_destinations
        return [
            destination
            for listener in self.listeners.values()
            for chain in listener.unordered_chains()
            for destination in chain.destinations
        ]

    def dns_names(self) -> frozenset[str]:
        """The names of all endpoints that have to be resolved."""
        return frozenset(
            endpoint.address
            for destination in self.destinations()
            for endpoint in destination.endpoints
            if endpoint.dns
        )
