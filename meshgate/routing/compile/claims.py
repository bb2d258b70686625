"""
What the rules of VirtualServices ask for: the chain of every rule that fits a server, before it is known who else wants
the same.

Knows one server and one VirtualService at a time; must not know what others ask for, nor who gets it
(:mod:`meshgate.routing.compile.chains`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from meshgate.resources.kinds.virtualservice import (
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualService,
)
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.routing.compile.destinations import Destinations
from meshgate.routing.compile.listeners import Owner
from meshgate.routing.compile.servers import BoundServer
from meshgate.routing.connection_policy import ConnectionPolicy
from meshgate.routing.hosts import HostIndex, gateway_reference, without_namespace
from meshgate.routing.table import CATCH_ALL, Chain, Destination

TERMINATION_REFUSAL = "the server terminates TLS, which this gateway does not do yet"
CAMEL = {
    "destination_subnets": "destinationSubnets",
    "source_subnet": "sourceSubnet",
    "source_labels": "sourceLabels",
    "source_namespace": "sourceNamespace",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """
    What one rule, or one of its blocks, asks for: a chain, before it is known who else wants the same.

    :ivar written: the server names as they are written.
    :ivar owner: who asks, for those that come later.
    :ivar ignored: says which conditions of it mean nothing; None where all do.
    :ivar wider: says that it reaches beyond the hosts of the server; None where it does not.
    :ivar problems: what its destinations lack.
    :ivar used: what its destinations rest on.
    """

    virtual_service: VirtualService
    path: str
    chain: Chain
    written: tuple[str, ...]
    owner: Owner
    ignored: Problem | None
    wider: Problem | None
    problems: tuple[Problem, ...]
    used: frozenset[ResourceKey]

    def names(self) -> Iterator[str]:
        """The names that it can take from others, or lose to them."""
        for name in self.written or (CATCH_ALL,):
            yield name.lower()

    def said(self) -> Iterator[Problem]:
        """What is said of it where it gets what it asks for."""
        yield from self.problems
        if self.ignored is not None:
            yield self.ignored
        if self.wider is not None:
            yield self.wider


@dataclass(frozen=True, slots=True)
class ServerClaims:
    """
    What one VirtualService asks of one server.

    :ivar meets: they have a host in common.
    :ivar claims: in the order of the rules; none where no rule fits.
    """

    meets: bool
    claims: tuple[Claim, ...] = ()


NO_CLAIMS = ServerClaims(meets=False)

Makers = Callable[[], Destinations]
NumberedBlock = tuple[str, L4MatchAttributes | TLSMatchAttributes]
"""A match block behind its path."""


class ClaimReader:
    """
    Reads the rules of VirtualServices for the servers that they meet: what they ask for, whatever others do. Pure.

    :cvar ignored_fields: the conditions that mean nothing.
    """

    ignored_fields: ClassVar[Sequence[str]] = (
        "destination_subnets",
        "source_subnet",
        "source_labels",
        "source_namespace",
    )

    def __init__(self) -> None:
        self._shared: dict[tuple[object, ...], Destination] = {}
        # Of the server that was asked for last; one server often meets thousands of VirtualServices.
        self._hosts: tuple[BoundServer, HostIndex] | None = None
        self._names: tuple[BoundServer, tuple[str, ...]] | None = None

    def read(self, server: BoundServer, virtual_service: VirtualService, makers: Makers) -> ServerClaims:
        """
        The claims of a VirtualService, which names the server's Gateway, to the server.

        :param makers: gives a fresh maker of destinations, one for each rule: what it says belongs to that rule.
        """
        if not self._meets(server, virtual_service):
            return NO_CLAIMS
        read = self._blocks if server.is_passthrough else self._tcp_rules
        return ServerClaims(True, tuple(read(server, virtual_service, makers)))

    def _meets(self, server: BoundServer, virtual_service: VirtualService) -> bool:
        hosts = self._index(server)
        return any(hosts.meets(host, virtual_service.namespace) for host in virtual_service.spec.hosts)

    def _index(self, server: BoundServer) -> HostIndex:
        if self._hosts is None or self._hosts[0] is not server:
            self._hosts = (server, HostIndex(server.hosts))
        return self._hosts[1]

    def _server_names(self, server: BoundServer) -> tuple[str, ...]:
        """The names of a rule that takes a whole server; none where that takes every name, or is not of TLS."""
        if self._names is None or self._names[0] is not server:
            self._names = (server, server_names(server) if server.is_tls else ())
        return self._names[1]

    def _tcp_rules(self, server: BoundServer, virtual_service: VirtualService, makers: Makers) -> Iterator[Claim]:
        """Every tcp rule that fits."""
        for index, rule in enumerate(virtual_service.spec.tcp):
            if _rule_fits(rule, server, virtual_service):
                path = f"spec.tcp[{index}]"
                names, blocks = self._server_names(server), numbered_blocks(path, rule)
                yield self._claim(server, virtual_service, path, rule, names, blocks, makers())

    def _blocks(self, server: BoundServer, virtual_service: VirtualService, makers: Makers) -> Iterator[Claim]:
        """Every block of a tls rule that fits."""
        for index, rule in enumerate(virtual_service.spec.tls):
            for number, match in enumerate(rule.match):
                if fits(match, server, virtual_service):
                    path = f"spec.tls[{index}].match[{number}]"
                    names, blocks = tuple(match.sni_hosts), [(path, match)]
                    yield self._claim(server, virtual_service, path, rule, names, blocks, makers())

    def _share(self, destination: Destination) -> Destination:
        """The same object for equal destinations: there are few, and they are gone through at each new table."""
        endpoints = id(destination.endpoints)
        known = self._shared.setdefault(
            (destination.host, destination.port, destination.subset, endpoints), destination
        )
        return known if known == destination else destination

    def _claim(
        self,
        server: BoundServer,
        virtual_service: VirtualService,
        path: str,
        rule: TCPRoute | TLSRoute,
        names: tuple[str, ...],
        blocks: Sequence[NumberedBlock],
        maker: Destinations,
    ) -> Claim:
        route_path = path.partition(".match[")[0]
        made = tuple(map(self._share, maker.of(virtual_service, route_path, rule.route, server.server.port.number)))
        policy = maker.connection_policy(virtual_service, route_path, rule.route)
        return Claim(
            virtual_service=virtual_service,
            path=path,
            chain=self._chain(server, virtual_service, path, names, made, policy),
            written=names,
            owner=owner_of(server, virtual_service, path),
            ignored=self._ignored(virtual_service, blocks),
            wider=self._wider(server, virtual_service, path, names) if server.is_passthrough else None,
            problems=tuple(maker.problems),
            used=frozenset(maker.used),
        )

    def _chain(
        self,
        server: BoundServer,
        virtual_service: VirtualService,
        path: str,
        names: Sequence[str],
        destinations: tuple[Destination, ...],
        policy: ConnectionPolicy,
    ) -> Chain:
        terminates = server.is_tls and not server.is_passthrough
        return Chain(
            names=tuple(map(str.lower, names)),
            gateway=server.gateway.qualified_name,
            server=server.server.port.name,
            virtual_service=virtual_service.qualified_name,
            rule=path,
            destinations=destinations,
            terminate=terminates,
            refusal=TERMINATION_REFUSAL if terminates else "",
            policy=policy,
        )

    def _ignored(self, virtual_service: VirtualService, blocks: Sequence[NumberedBlock]) -> Problem | None:
        used = {
            CAMEL[field]: f"{place}.{CAMEL[field]}"
            for field in self.ignored_fields
            for place, match in reversed(blocks)
            if getattr(match, field, None)
        }
        if not used:
            return None
        return virtual_service.problem(
            Severity.WARNING,
            "MG2006",
            f"{', '.join(used)} means nothing on a gateway: the rule takes connections from and to anywhere",
            path=next(iter(used.values())),
            hint="Istio ignores it here without a word",
        )

    def _wider(
        self, server: BoundServer, virtual_service: VirtualService, path: str, names: Sequence[str]
    ) -> Problem | None:
        hosts = self._index(server)
        wider = [name for name in names if not hosts.covers(name)]
        if not wider:
            return None
        return virtual_service.problem(
            Severity.WARNING,
            "MG2007",
            f"{', '.join(wider)} reaches beyond the hosts of the {server}, and is routed all the same",
            path=f"{path}.sniHosts[{names.index(wider[0])}]",
            hint="Istio does not cut server names to the server's hosts; narrow sniHosts",
            listener=str(server.address),
        )


def server_names(server: BoundServer) -> tuple[str, ...]:
    """The names of a server that ends TLS; none where it takes every name."""
    names = tuple(dict.fromkeys(without_namespace(host).lower() for host in server.hosts))
    return () if CATCH_ALL in names else names


def owner_of(server: BoundServer, virtual_service: VirtualService, path: str) -> Owner:
    """Who brings the chain of a rule."""
    return Owner(server, f"VirtualService {virtual_service.qualified_name} ({virtual_service.location(path)}) {path}")


def numbered_blocks(path: str, rule: TCPRoute | TLSRoute) -> list[NumberedBlock]:
    """
    The match blocks of a rule, each with its path.

    :param path: of the rule.
    """
    blocks: Sequence[L4MatchAttributes | TLSMatchAttributes] = rule.match
    return [(f"{path}.match[{number}]", match) for number, match in enumerate(blocks)]


def _rule_fits(rule: TCPRoute, server: BoundServer, virtual_service: VirtualService) -> bool:
    return not rule.match or any(fits(match, server, virtual_service) for match in rule.match)


def fits(match: L4MatchAttributes | TLSMatchAttributes, server: BoundServer, virtual_service: VirtualService) -> bool:
    """Only the port and the Gateway count on a gateway (pilot/pkg/networking/core/gateway.go, l4SingleMatch)."""
    if match.port and match.port != server.server.port.number:
        return False
    wanted: Iterator[str] = (gateway_reference(name, virtual_service.namespace) for name in match.gateways)
    return not match.gateways or server.gateway.qualified_name in wanted
