"""
The routing table: what a connection is looked up in. Immutable, replaced whole, picklable.

Knows names and destinations; knows nothing of the resources it was compiled from, nor of sockets.
The cost of a lookup depends on the number of labels of the name, never on the number of routes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class ListenerKey(NamedTuple):
    """A listener's identity: the address it binds (``0.0.0.0`` when the server leaves ``bind`` unset) and its port."""

    bind: str
    port: int

    def __str__(self) -> str:
        return f"[{self.bind}]:{self.port}" if ":" in self.bind else f"{self.bind}:{self.port}"


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
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


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
    """

    host: str
    port: int
    subset: str = ""
    weight: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    missing: str = ""

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
    :ivar terminate: the server ends TLS itself, as far as the configuration goes.
    :ivar refusal: why connections of this chain are closed instead of routed, or empty. Their names are held by it
        all the same: what a server was to terminate is never passed through by another chain.
    """

    names: tuple[str, ...]
    gateway: str
    server: str
    virtual_service: str
    rule: str
    destinations: tuple[Destination, ...]
    terminate: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Listener:
    """
    One port: its chains by name.

    :ivar dual_stack: the bind was left unset, so IPv6 is served as well where it exists.
    :ivar sniffs: the first bytes decide; otherwise the catch-all is dialed as soon as a client connects.
    :ivar exact: chains by full name.
    :ivar suffixes: chains by the part after ``*.``, any depth.
    :ivar catch_all: the chain without names, or None.
    """

    key: ListenerKey
    dual_stack: bool
    sniffs: bool
    exact: Mapping[str, Chain] = field(default_factory=dict)
    suffixes: Mapping[str, Chain] = field(default_factory=dict)
    catch_all: Chain | None = None

    def lookup(self, sni: str | None) -> Chain | None:
        """
        The chain for a server name: exact, then the longest suffix, then the one without names
        (Envoy, filter_chain_manager_impl.cc).

        :param sni: lower-cased and without a trailing dot, as the hello parser gives it; None for a
            connection that shows none, plain text among them.
        """
        if sni is not None:
            chain = self.exact.get(sni)
            if chain is not None:
                return chain
            suffixes = self.suffixes
            if suffixes:
                dot = sni.find(".")
                while dot >= 0:
                    chain = suffixes.get(sni[dot + 1 :])
                    if chain is not None:
                        return chain
                    dot = sni.find(".", dot + 1)
        return self.catch_all

    def chains(self) -> Iterator[Chain]:
        """Every chain once: named ones in the order of their names, the catch-all last."""
        seen: set[int] = set()
        named = [
            *(self.exact[n] for n in sorted(self.exact)),
            *(self.suffixes[n] for n in sorted(self.suffixes)),
        ]
        for chain in [*named, *([self.catch_all] if self.catch_all else [])]:
            if id(chain) not in seen:
                seen.add(id(chain))
                yield chain


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """
    All listeners of one generation.

    :ivar generation: counts the tables of one process from 1; 0 is the empty table before the first.
    """

    generation: int = 0
    listeners: Mapping[ListenerKey, Listener] = field(default_factory=dict)

    def destinations(self) -> Iterator[Destination]:
        """The destinations of all chains, as often as they stand there."""
        for listener in self.listeners.values():
            for chain in listener.chains():
                yield from chain.destinations

    def dns_names(self) -> frozenset[str]:
        """The names of all endpoints that have to be resolved."""
        return frozenset(
            endpoint.address
            for destination in self.destinations()
            for endpoint in destination.endpoints
            if endpoint.dns
        )
