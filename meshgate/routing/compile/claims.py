"""
Claims: the chains that the rules of one VirtualService ask for on one server.

A claim reader looks at one server and one VirtualService at a time, whatever other VirtualServices ask for. So what it
reads can be kept while others change; :mod:`meshgate.routing.compile.chains` decides who gets a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from meshgate.resources.wording import listing, verb
from meshgate.routing.compile.destinations import DestinationResolver
from meshgate.routing.compile.listeners import Owner
from meshgate.routing.compile.servers import BoundServer
from meshgate.routing.connection_policy import ConnectionPolicy
from meshgate.routing.hosts import HostIndex, full_name, gateway_reference, without_namespace
from meshgate.routing.table import CATCH_ALL, Chain, Destination

TERMINATION_REFUSAL = "the server terminates TLS, which this gateway does not do yet"
_FIELD_NAMES = {
    "destination_subnets": "destinationSubnets",
    "source_subnet": "sourceSubnet",
    "source_labels": "sourceLabels",
    "source_namespace": "sourceNamespace",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A chain that one rule, or one match block of a rule, asks for on a server.

    :ivar path: of the rule or the block.
    :ivar sni_hosts: the server names as the rule has them; for a tcp rule, those of the server.
    :ivar ignored: the problem that some of its conditions mean nothing, or None.
    :ivar wider: those of its names that reach beyond the hosts of the server.
    :ivar problems: of its destinations.
    :ivar used: the Services, ServiceEntries and DestinationRules that its destinations come from.
    """

    server: BoundServer
    virtual_service: VirtualService
    path: str
    chain: Chain
    sni_hosts: tuple[str, ...]
    ignored: Problem | None
    wider: tuple[str, ...]
    problems: tuple[Problem, ...]
    used: frozenset[ResourceKey]

    @property
    def owner(self) -> Owner:
        """The owner of the chain, for later claims that lose to it."""
        return Owner(self.server, self.virtual_service, self.path)

    def names(self) -> Iterator[str]:
        """The names that the claim can take from others, or lose to them."""
        for name in self.sni_hosts or (CATCH_ALL,):
            yield name.lower()


@dataclass(frozen=True, slots=True)
class ServerClaims:
    """
    All claims of one VirtualService to one server.

    :ivar hosts_meet: the two have a host in common.
    :ivar claims: in the order of the rules; none if no rule fits.
    """

    virtual_service: VirtualService
    hosts_meet: bool
    claims: tuple[Claim, ...] = ()


NewResolver = Callable[[], DestinationResolver]
"""Makes a fresh resolver for each rule, since the problems that it collects belong to that rule."""

Match = L4MatchAttributes | TLSMatchAttributes

NumberedBlock = tuple[str, Match]
"""A match block with its path."""


class ClaimReader:
    """
    Reads the claims of VirtualServices to servers.

    :param domain_suffix: the cluster domain, by which short hosts are completed.
    :cvar ignored_fields: the conditions that mean nothing on a gateway.
    """

    ignored_fields: ClassVar[Sequence[str]] = (
        "destination_subnets",
        "source_subnet",
        "source_labels",
        "source_namespace",
    )

    def __init__(self, domain_suffix: str) -> None:
        self._domain_suffix = domain_suffix
        self._destinations: dict[tuple[object, ...], Destination] = {}
        # The tuples of a single destination, by its id().
        self._single: dict[int, tuple[Destination, ...]] = {}
        # Thousands of claims use the same few resources.
        self._used: dict[frozenset[ResourceKey], frozenset[ResourceKey]] = {}
        # Of the server that was read last, since one server often meets thousands of VirtualServices.
        self._index: tuple[BoundServer, HostIndex] | None = None
        self._names: tuple[BoundServer, tuple[str, ...]] | None = None

    def read(self, server: BoundServer, virtual_service: VirtualService, new_resolver: NewResolver) -> ServerClaims:
        """
        The claims of a VirtualService to a server.

        :param virtual_service: one that names the server's Gateway.
        """
        hosts, namespace = self._host_index(server), virtual_service.namespace
        full_names = (full_name(host, namespace, self._domain_suffix) for host in virtual_service.spec.hosts)
        if not any(hosts.meets(host, namespace) for host in full_names):
            return ServerClaims(virtual_service, hosts_meet=False)
        read = self._tls_claims if server.is_passthrough else self._tcp_claims
        claims = tuple(read(server, virtual_service, new_resolver))
        return ServerClaims(virtual_service, hosts_meet=True, claims=claims)

    def _host_index(self, server: BoundServer) -> HostIndex:
        if self._index is None or self._index[0] is not server:
            self._index = (server, HostIndex(server.hosts))
        return self._index[1]

    def _server_names(self, server: BoundServer) -> tuple[str, ...]:
        """The names of a tcp rule on a server: those of a TLS server; none for a plain one."""
        if self._names is None or self._names[0] is not server:
            self._names = (server, server_names(server) if server.is_tls else ())
        return self._names[1]

    def _tcp_claims(
        self, server: BoundServer, virtual_service: VirtualService, new_resolver: NewResolver
    ) -> Iterator[Claim]:
        """One claim for each tcp rule that fits."""
        for index, rule in enumerate(virtual_service.spec.tcp):
            if not rule.match or any(fits(match, server, virtual_service) for match in rule.match):
                path = f"spec.tcp[{index}]"
                names, blocks = self._server_names(server), numbered_blocks(path, rule)
                yield self._claim(server, virtual_service, path, rule, names, blocks, new_resolver())

    def _tls_claims(
        self, server: BoundServer, virtual_service: VirtualService, new_resolver: NewResolver
    ) -> Iterator[Claim]:
        """One claim for each match block of a tls rule that fits."""
        for index, rule in enumerate(virtual_service.spec.tls):
            for number, match in enumerate(rule.match):
                if fits(match, server, virtual_service):
                    path = f"spec.tls[{index}].match[{number}]"
                    names, blocks = tuple(match.sni_hosts), [(path, match)]
                    yield self._claim(server, virtual_service, path, rule, names, blocks, new_resolver())

    def _share(self, destination: Destination) -> Destination:
        """
        One object for equal destinations. Thousands of chains have few different ones, and each new table goes through
        them by identity.
        """
        endpoints = id(destination.endpoints)
        first = self._destinations.setdefault(
            (destination.host, destination.port, destination.subset, endpoints), destination
        )
        return first if first == destination else destination

    def _share_all(self, destinations: Iterable[Destination]) -> tuple[Destination, ...]:
        """Share the destinations of a rule; if there is one, as mostly, the tuple of it as well."""
        shared = tuple(map(self._share, destinations))
        return self._single.setdefault(id(shared[0]), shared) if len(shared) == 1 else shared

    def _claim(
        self,
        server: BoundServer,
        virtual_service: VirtualService,
        path: str,
        rule: TCPRoute | TLSRoute,
        names: tuple[str, ...],
        blocks: Sequence[NumberedBlock],
        resolver: DestinationResolver,
    ) -> Claim:
        rule_path = path.partition(".match[")[0]
        resolved = resolver.destinations(virtual_service, rule_path, rule.route, server.server.port.number)
        destinations = self._share_all(resolved)
        policy = resolver.connection_policy(virtual_service, rule_path, rule.route)
        if server.is_passthrough and CATCH_ALL not in names:
            resolver.check_beginnings(virtual_service, rule_path, destinations)
        used = frozenset(resolver.used)
        return Claim(
            server=server,
            virtual_service=virtual_service,
            path=path,
            chain=self._chain(server, virtual_service, path, names, destinations, policy),
            sni_hosts=names,
            ignored=self._ignored(virtual_service, blocks),
            wider=self._wider(server, names) if server.is_passthrough else (),
            problems=tuple(resolver.problems),
            used=self._used.setdefault(used, used),
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
        paths = {
            _FIELD_NAMES[field]: f"{path}.{_FIELD_NAMES[field]}"
            for field in self.ignored_fields
            for path, match in reversed(blocks)
            if getattr(match, field, None)
        }
        if not paths:
            return None
        return virtual_service.problem(
            Severity.WARNING,
            "MG2006",
            f"{listing(list(paths))} {verb(paths, 'means', 'mean')} nothing on a gateway: the rule takes connections "
            "from and to anywhere",
            path=next(iter(paths.values())),
            hint=f"Istio ignores {verb(paths, 'this condition', 'these conditions')} here without a word",
        )

    def _wider(self, server: BoundServer, names: Sequence[str]) -> tuple[str, ...]:
        hosts = self._host_index(server)
        return tuple(name for name in names if not hosts.covers(name))


def server_names(server: BoundServer) -> tuple[str, ...]:
    """The names of a server that terminates TLS; none if it takes every name."""
    names = tuple(dict.fromkeys(without_namespace(host).lower() for host in server.hosts))
    return () if CATCH_ALL in names else names


def numbered_blocks(path: str, rule: TCPRoute | TLSRoute) -> list[NumberedBlock]:
    """
    The match blocks of a rule, each with its path.

    :param path: of the rule.
    """
    blocks: Sequence[Match] = rule.match
    return [(f"{path}.match[{number}]", match) for number, match in enumerate(blocks)]


def fits(match: Match, server: BoundServer, virtual_service: VirtualService) -> bool:
    """
    True if a match block is for a server. Only its port and its Gateways count on a gateway
    (pilot/pkg/networking/core/gateway.go, l4SingleMatch).
    """
    if match.port and match.port != server.server.port.number:
        return False
    named: Iterator[str] = (gateway_reference(name, virtual_service.namespace) for name in match.gateways)
    return not match.gateways or server.gateway.qualified_name in named
