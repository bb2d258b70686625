"""
From bound servers and VirtualServices to the chains of every listener.

The rules are Istio's (pilot/pkg/networking/core/gateway.go): a TCP server, or one that terminates TLS, takes the
first VirtualService with a fitting tcp rule and nothing after it; a passthrough server takes every fitting match
block of every VirtualService, save those with a name that is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import ResourceKey
from meshgate.resources.steps import batches
from meshgate.resources.virtualservice import L4MatchAttributes, TCPRoute, TLSMatchAttributes, TLSRoute
from meshgate.routing.binding import VirtualService
from meshgate.routing.connection_policy import ConnectionPolicy
from meshgate.routing.destinations import Destinations
from meshgate.routing.hosts import HostIndex, gateway_reference, without_namespace
from meshgate.routing.listeners import ListenerBuilder, Owner
from meshgate.routing.servers import BoundServer, duplicates
from meshgate.routing.table import CATCH_ALL, Chain, Destination, ListenerKey

HTTP_REFUSAL = "this is an HTTP server, and the gateway works below HTTP"
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


@dataclass(frozen=True, slots=True)
class Part:
    """
    What one VirtualService asks of one server.

    :ivar meets: they have a host in common.
    :ivar claims: in the order of the rules; none where no rule fits.
    """

    meets: bool
    claims: tuple[Claim, ...] = ()


NO_PART = Part(meets=False)

Makers = Callable[[], Destinations]
NumberedBlock = tuple[str, L4MatchAttributes | TLSMatchAttributes]
"""A match block behind its path."""


class Rules:
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
        self._hosts: tuple[BoundServer, HostIndex] | None = None

    def part(self, server: BoundServer, virtual_service: VirtualService, makers: Makers) -> Part:
        """
        What a VirtualService that names the server's Gateway asks of the server.

        :param makers: gives a fresh maker of destinations, one for each rule: what it says belongs to that rule.
        """
        hosts = self._index(server)
        if not any(hosts.meets(host, virtual_service.namespace) for host in virtual_service.spec.hosts):
            return NO_PART
        read = self._blocks if server.is_passthrough else self._tcp_rules
        return Part(True, tuple(read(server, virtual_service, makers)))

    def _index(self, server: BoundServer) -> HostIndex:
        """Of the server that was asked for last, too: one server often meets thousands of VirtualServices."""
        if self._hosts is None or self._hosts[0] is not server:
            self._hosts = (server, HostIndex(server.hosts))
        return self._hosts[1]

    def _tcp_rules(self, server: BoundServer, virtual_service: VirtualService, makers: Makers) -> Iterator[Claim]:
        """Every tcp rule that fits."""
        names = server_names(server) if server.is_tls else ()
        for index, rule in enumerate(virtual_service.spec.tcp):
            if _rule_fits(rule, server, virtual_service):
                path = f"spec.tcp[{index}]"
                yield self._claim(server, virtual_service, path, rule, names, numbered_blocks(path, rule), makers())

    def _blocks(self, server: BoundServer, virtual_service: VirtualService, makers: Makers) -> Iterator[Claim]:
        """Every block of a tls rule that fits."""
        for index, rule in enumerate(virtual_service.spec.tls):
            for number, match in enumerate(rule.match):
                if fits(match, server, virtual_service):
                    path = f"spec.tls[{index}].match[{number}]"
                    names = tuple(match.sni_hosts)
                    yield self._claim(server, virtual_service, path, rule, names, [(path, match)], makers())

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
            names=tuple(name.lower() for name in names),
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
            listener=str(server.key),
        )


class ChainBuilder:
    """
    Builds the listeners of some servers, with all that these have against each other.

    :param bound: the VirtualServices of each Gateway, in their order.
    :param part: gives what a VirtualService asks of a server, as :meth:`Rules.part`.
    :ivar listeners: what is built so far.
    :ivar problems: what was dropped or ignored.
    :ivar used: what the destinations of the chains rest on.
    """

    def __init__(
        self,
        bound: Callable[[BoundServer], Sequence[VirtualService]],
        part: Callable[[BoundServer, VirtualService], Part],
    ) -> None:
        self._bound = bound
        self._part = part
        self._sni_owners: dict[int, dict[str, tuple[str, Owner]]] = {}
        self._ignored_said: set[tuple[object, ...]] = set()
        self.listeners: dict[ListenerKey, ListenerBuilder] = {}
        self.problems: list[Problem] = []
        self.used: set[ResourceKey] = set()

    def add(self, server: BoundServer) -> Iterator[None]:
        """Build the chains of one server, in its turn, in steps."""
        listener = self.listeners.get(server.key)
        if listener is None:
            listener = self.listeners[server.key] = ListenerBuilder(server)
        listener.join(server)
        if server.is_http:
            self._http(server, listener)
        elif server.server.tls is not None and server.server.tls.mode == "AUTO_PASSTHROUGH":
            self.problems.append(
                server.problem(Severity.ERROR, "MG2031", "AUTO_PASSTHROUGH is for multi-cluster meshes and not served")
            )
        elif server.is_passthrough:
            yield from self._passthrough(server, listener)
        else:
            yield from self._plain(server, listener)

    def _parts(self, server: BoundServer) -> Iterator[Part | None]:
        """What every VirtualService of the server's Gateway asks of it; None where there can be a rest."""
        bound = self._bound(server)
        if len(bound) == 1:
            yield self._part(server, bound[0])
            return
        for batch in batches(bound):
            for virtual_service in batch:
                yield self._part(server, virtual_service)
            yield None

    def _http(self, server: BoundServer, listener: ListenerBuilder) -> None:
        names = server_names(server) if server.is_tls else ()
        chain = Chain(
            names=names,
            gateway=server.gateway.qualified_name,
            server=server.server.port.name,
            virtual_service="",
            rule="",
            destinations=(),
            terminate=server.is_tls,
            refusal=HTTP_REFUSAL,
        )
        if listener.refuse(names) is None:
            listener.add(chain, Owner(server, str(server)), sniffs=server.is_tls)
        self.problems.append(
            server.problem(
                Severity.INFO,
                "MG2030",
                f"{server.protocol} on port {server.port} is not served: the gateway works below HTTP",
                "for TLS that the endpoint terminates itself, use mode PASSTHROUGH and a tls route",
            )
        )

    def _plain(self, server: BoundServer, listener: ListenerBuilder) -> Iterator[None]:
        """A TCP server, or a TLS server that terminates: one rule takes everything."""
        winner: Claim | None = None
        for part in self._parts(server):
            if part is None:
                yield
                continue
            for claim in part.claims:
                self._note_ignored(claim)
                if winner is not None:
                    self.problems.append(_second_rule(claim, server, winner))
                    continue
                winner = claim
                self._admit(listener, claim, server)
        if winner is None:
            self.problems.append(self._no_chain(server, "tcp"))
        elif server.is_tls:
            self.problems.append(server.problem(Severity.ERROR, "MG2032", TERMINATION_REFUSAL))

    def _passthrough(self, server: BoundServer, listener: ListenerBuilder) -> Iterator[None]:
        """A passthrough server: every fitting block of every rule brings a chain of its own."""
        found = False
        for part in self._parts(server):
            if part is None:
                yield
                continue
            for claim in part.claims:
                found = True
                if claim.ignored is not None:
                    self._note_ignored(claim)
                if self._taken(server, claim):
                    continue
                self._admit(listener, claim, server)
                if claim.wider is not None:
                    self.problems.append(claim.wider)
        if not found:
            self.problems.append(self._no_chain(server, "tls"))

    def _admit(self, listener: ListenerBuilder, claim: Claim, server: BoundServer) -> None:
        self.problems += claim.problems
        self.used |= claim.used
        why = listener.refuse(claim.chain.names)
        if why is None:
            listener.add(claim.chain, claim.owner, sniffs=server.is_tls)
            return
        self.problems.append(
            claim.virtual_service.problem(
                Severity.ERROR,
                "MG2004",
                f"the rule is dropped: {why} on {server.key}",
                path=claim.path,
                hint="Envoy would refuse the whole listener",
                listener=str(server.key),
            )
        )

    def _taken(self, server: BoundServer, claim: Claim) -> bool:
        """Whether a name of the block is some other block's: then the whole block is dropped, its new names too."""
        known = self._sni_owners.setdefault(server.port, {})
        clash = duplicates(claim.written, server.server.bind, known, claim.owner)
        # A rule that meets two servers of a port comes by twice; the second time it loses to itself only.
        lost = [(name, other) for name, other in clash if other.text != claim.owner.text]
        if lost:
            taken = ", ".join(name for name, _ in lost)
            self.problems.append(
                claim.virtual_service.problem(
                    Severity.ERROR,
                    "MG2005",
                    f"the whole match block is dropped: {taken} on port {server.port} already goes to {lost[0][1]}",
                    path=f"{claim.path}.sniHosts[{claim.written.index(lost[0][0])}]",
                    hint="the older VirtualService wins, then the name that sorts first",
                    listener=str(server.key),
                )
            )
        return bool(clash)

    def _note_ignored(self, claim: Claim) -> None:
        """Once of each rule, however many servers it meets."""
        rule = (claim.virtual_service.key, claim.path)
        if claim.ignored is not None and rule not in self._ignored_said:
            self._ignored_said.add(rule)
            self.problems.append(claim.ignored)

    def _no_chain(self, server: BoundServer, kind: str) -> Problem:
        bound = self._bound(server)
        meeting = [each for each in bound if self._part(server, each).meets]
        if not bound:
            why = "no VirtualService names the Gateway"
        elif not meeting:
            names = ", ".join(virtual_service.qualified_name for virtual_service in bound[:3])
            why = f"no host of {names} is among the server's hosts ({', '.join(server.hosts[:5])})"
        else:
            names = ", ".join(virtual_service.qualified_name for virtual_service in meeting[:3])
            why = f"{names} has no {kind} rule that fits port {server.server.port.number} and this Gateway"
        return server.problem(
            Severity.WARNING,
            "MG2008",
            f"nothing is routed from port {server.port}: {why}",
            f"a {server.protocol} server takes its routes from {kind} rules; without any, its port is not opened",
        )


def names_of(server: BoundServer) -> Iterator[str]:
    """The names that a server can take from others, or lose to them."""
    if server.server.tls is not None:
        yield from server.hosts
        if not server.is_passthrough:
            yield from server_names(server) or (CATCH_ALL,)


def claimed_by(part: Part) -> Iterator[str]:
    """The names that rules can take from others, or lose to them."""
    for claim in part.claims:
        for name in claim.written or (CATCH_ALL,):
            yield name.lower()


def server_names(server: BoundServer) -> tuple[str, ...]:
    """The names of a server that ends TLS; none where it takes every name."""
    names = tuple(dict.fromkeys(without_namespace(host).lower() for host in server.hosts))
    return () if CATCH_ALL in names else names


def owner_of(server: BoundServer, virtual_service: VirtualService, path: str) -> Owner:
    """Who brings the chain of a rule."""
    return Owner(server, f"VirtualService {virtual_service.qualified_name} ({virtual_service.place(path)}) {path}")


def numbered_blocks(path: str, rule: TCPRoute | TLSRoute) -> list[tuple[str, L4MatchAttributes | TLSMatchAttributes]]:
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


def _second_rule(claim: Claim, server: BoundServer, first: Claim) -> Problem:
    winner = first.virtual_service
    return claim.virtual_service.problem(
        Severity.WARNING,
        "MG2009",
        f"the rule never gets a connection: port {server.port} goes whole to VirtualService "
        f"{winner.qualified_name} ({winner.place(first.path)}) {first.path}",
        path=claim.path,
        hint="a TCP port has no names to tell routes apart; give each its own port",
        listener=str(server.key),
    )
