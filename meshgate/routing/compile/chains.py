"""
From claims to chains: which claims are admitted to which listener, and which lose to an earlier one.

The rules are Istio's (pilot/pkg/networking/core/gateway.go). A TCP server, or one that terminates TLS, takes the first
tcp rule that fits, and nothing after it. A passthrough server takes every match block that fits, of every
VirtualService, except a block with a name that an earlier block has. A claim that loses is a problem that names the
winner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from meshgate.resources.kinds.tls import TLSMode
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import listing, verb
from meshgate.routing.compile.claims import TERMINATION_REFUSAL, Claim, ServerClaims, server_names
from meshgate.routing.compile.listeners import ListenerBuilder, Owner
from meshgate.routing.compile.precedence import Loss
from meshgate.routing.compile.route_binding import gateways_of
from meshgate.routing.compile.servers import BoundServer, duplicates
from meshgate.routing.compile.unrouted import no_fitting_rule
from meshgate.routing.hosts import HostIndex
from meshgate.routing.table import CATCH_ALL, Chain, ListenerKey

HTTP_REFUSAL = "this is an HTTP server, and the gateway works below HTTP"


class ChainBuilder:
    """
    Builds the listeners of some servers.

    :param servers: all of them, which :meth:`add` is then given in this order.
    :param bound: gives the VirtualServices that are bound to a server's Gateway, in their order.
    :param claims: gives the claims of a VirtualService to a server.
    :ivar listeners: the listeners of the servers added so far.
    :ivar problems: of claims, except for those that lose to others.
    :ivar losses: of claims to others.
    :ivar unbound: the servers without a VirtualService.
    :ivar used: the Services, ServiceEntries and DestinationRules that destinations of the chains come from.
    """

    def __init__(
        self,
        servers: Iterable[BoundServer],
        bound: Callable[[BoundServer], Sequence[VirtualService]],
        claims: Callable[[BoundServer, VirtualService], ServerClaims],
    ) -> None:
        self._bound = bound
        self._by_listener: dict[ListenerKey, list[BoundServer]] = defaultdict(list)
        for server in servers:
            self._by_listener[server.key].append(server)
        self._host_indexes: dict[tuple[str, ...], HostIndex] = {}
        self._claims_of = claims
        self._sni_owners: dict[int, dict[str, tuple[str, Owner]]] = {}
        self._noted: set[tuple[ResourceKey, str]] = set()
        self.listeners: dict[ListenerKey, ListenerBuilder] = {}
        self.problems: list[Problem] = []
        self.losses: list[Loss] = []
        self.unbound: list[BoundServer] = []
        self.used: set[ResourceKey] = set()

    def add(self, server: BoundServer) -> None:
        """Build the chains of the next server; see :meth:`meshgate.routing.compile.servers.MergedServers.in_order`."""
        listener = self.listeners.get(server.key)
        if listener is None:
            listener = self.listeners[server.key] = ListenerBuilder(server)
        listener.add_server(server)
        if server.is_http:
            self._add_http(server, listener)
        elif server.server.tls is not None and server.server.tls.mode == TLSMode.AUTO_PASSTHROUGH:
            self.problems.append(
                server.not_served("MG2031", "AUTO_PASSTHROUGH is for multi-cluster meshes and not served")
            )
        elif server.is_passthrough:
            self._add_passthrough(server, listener)
        else:
            self._add_plain(server, listener)

    def _claims(self, server: BoundServer) -> Iterator[Claim]:
        """The claims to a server, in the order of the VirtualServices and their rules."""
        for virtual_service in self._bound(server):
            yield from self._claims_of(server, virtual_service).claims

    def _add_http(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """Add an HTTP server, which refuses its connections, and keeps its names from other servers."""
        names = server_names(server) if server.is_tls else ()
        refusing = Chain(
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
            listener.add(refusing, Owner(server), sniffs=server.is_tls)
        self.problems.append(
            server.problem(
                Severity.INFO,
                "MG2030",
                f"{server.protocol} on port {server.port_text} is not served: the gateway works below HTTP",
                _http_hint(server),
            )
        )

    def _add_plain(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """Add a TCP server, or one that terminates TLS: its first claim takes all connections."""
        winner: Claim | None = None
        for claim in self._claims(server):
            self._note_ignored(claim)
            if winner is not None:
                self.losses.append(_second_rule(claim, server, winner))
            else:
                winner = claim
                self._admit(listener, claim, server)
        if winner is None:
            self._note_unrouted(server)
        elif server.is_tls:
            self.problems.append(server.not_served("MG2032", TERMINATION_REFUSAL))

    def _add_passthrough(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """Add a passthrough server: each claim gets a chain of its own, if its names are free."""
        claims = list(self._claims(server))
        for claim in claims:
            self._note_ignored(claim)
            if not self._names_taken(server, claim):
                self._admit(listener, claim, server)
                self._note_wider(server, claim)
        if not claims:
            self._note_unrouted(server)

    def _admit(self, listener: ListenerBuilder, claim: Claim, server: BoundServer) -> None:
        """Add the chain of a claim to the listener, unless Envoy would refuse it."""
        self.problems += claim.problems
        self.used.update(claim.used)
        refusal = listener.refuse(claim.chain.names)
        if refusal is None:
            listener.add(claim.chain, claim.owner, sniffs=server.is_tls)
            return
        cause, owner = refusal

        def problem(reason: str) -> Problem:
            return claim.virtual_service.problem(
                Severity.ERROR,
                "MG2004",
                f"the rule is dropped: {cause} on {server.address}" + (f", {reason}" if reason else ""),
                path=claim.path,
                hint="Envoy would refuse the whole listener",
                listener=str(server.address),
            )

        if owner is None:
            self.problems.append(problem(""))
        else:
            self.losses.append(loss_of(claim, server, owner, problem))

    def _names_taken(self, server: BoundServer, claim: Claim) -> bool:
        """True if a name of the match block is another block's. Then the whole block is dropped, its free names too."""
        owners = self._sni_owners.setdefault(server.port, {})
        clash = duplicates(claim.sni_hosts, server.server.bind, owners, claim.owner)
        # A rule that meets two servers of one port claims its names twice, and loses them to nobody but itself.
        lost = [(name, owner) for name, owner in clash if not owner.is_same_rule(claim.owner)]
        if lost:
            first, owner = lost[0]
            taken = (
                f"{listing([name for name, _ in lost])} on port {server.port_text} already {verb(lost, 'goes', 'go')}"
            )

            def problem(reason: str) -> Problem:
                return claim.virtual_service.problem(
                    Severity.ERROR,
                    "MG2005",
                    f"the whole match block is dropped: {taken} to {owner}, {reason}",
                    path=f"{claim.path}.sniHosts[{claim.sni_hosts.index(first)}]",
                    hint="name each server name in one match block of a port only",
                    listener=str(server.address),
                )

            self.losses.append(loss_of(claim, server, owner, problem))
        return bool(clash)

    def _note_wider(self, server: BoundServer, claim: Claim) -> None:
        """Report the names of a claim that are among the hosts of no server of the port that takes its rules."""
        wider = [name for name in claim.wider if not self._is_for_neighbor(server, claim, name)]
        if wider:
            self.problems.append(
                claim.virtual_service.problem(
                    Severity.WARNING,
                    "MG2007",
                    f"{listing(wider)} {verb(wider, 'reaches', 'reach')} beyond the hosts of the {server}, "
                    f"and {verb(wider, 'is', 'are')} routed all the same",
                    path=f"{claim.path}.sniHosts[{claim.sni_hosts.index(wider[0])}]",
                    hint=f"Istio does not cut server names to the server's hosts; {self._cure(server, claim, wider)}",
                    listener=str(server.address),
                )
            )

    def _cure(self, server: BoundServer, claim: Claim, names: Sequence[str]) -> str:
        """The hint about names beyond the hosts of a server, in words."""
        elsewhere = {
            other.server.port.number
            for other in chain.from_iterable(self._by_listener.values())
            if other.key != server.key and any(map(self._hosts_of(other).covers, names))
            if other.gateway.qualified_name in gateways_of(claim.virtual_service)
        }
        if len(elsewhere) == 1:
            return f"to keep it on port {elsewhere.pop()}, write that port in the match block"
        return "narrow sniHosts"

    def _is_for_neighbor(self, server: BoundServer, claim: Claim, name: str) -> bool:
        """True if another server of the listener has a name of a claim among its hosts, and takes the same rule."""
        virtual_service = claim.virtual_service
        return any(
            neighbor.is_passthrough
            and neighbor is not server
            and self._hosts_of(neighbor).covers(name)
            and neighbor.gateway.qualified_name in gateways_of(virtual_service)
            and any(each.path == claim.path for each in self._claims_of(neighbor, virtual_service).claims)
            for neighbor in self._by_listener[server.key]
        )

    def _hosts_of(self, server: BoundServer) -> HostIndex:
        if server.hosts not in self._host_indexes:
            self._host_indexes[server.hosts] = HostIndex(server.hosts)
        return self._host_indexes[server.hosts]

    def _note_ignored(self, claim: Claim) -> None:
        """Report ignored conditions once for each rule, however many servers it meets."""
        rule = (claim.virtual_service.key, claim.path)
        if claim.ignored is not None and rule not in self._noted:
            self._noted.add(rule)
            self.problems.append(claim.ignored)

    def _note_unrouted(self, server: BoundServer) -> None:
        """Report a server without claims, or leave it to those who know why no VirtualService is bound to it."""
        bound = self._bound(server)
        if bound:
            meeting = [each for each in bound if self._claims_of(server, each).hosts_meet]
            self.problems.append(no_fitting_rule(server, bound, meeting))
        else:
            self.unbound.append(server)


def _http_hint(server: BoundServer) -> str:
    """The hint about an HTTP server whose bytes are to be forwarded unseen."""
    if not server.is_plain_http:
        return "for TLS that the endpoint ends itself, write mode PASSTHROUGH, and tls rules"
    if server.is_tls:
        return "for TLS that the endpoint ends itself, write the protocol TLS, and tls rules"
    return "to forward its bytes unseen, write the protocol TCP, and tcp rules"


def names_of(server: BoundServer) -> Iterator[str]:
    """The names that a server can take from other servers, or lose to them, whatever its claims."""
    if server.server.tls is not None:
        yield from server.hosts
        if not server.is_passthrough:
            yield from server_names(server) or (CATCH_ALL,)


def _second_rule(claim: Claim, server: BoundServer, first: Claim) -> Loss:
    winner = first.virtual_service

    def problem(reason: str) -> Problem:
        return claim.virtual_service.problem(
            Severity.WARNING,
            "MG2009",
            f"the rule never gets a connection: port {server.port_text} goes whole to VirtualService "
            f"{winner.qualified_name} ({winner.location(first.path)}) {first.path}, {reason}",
            path=claim.path,
            hint="a TCP port has no names to tell routes apart; give each its own port",
            listener=str(server.address),
        )

    return loss_of(claim, server, first.owner, problem)


def loss_of(claim: Claim, server: BoundServer, winner: Owner, problem: Callable[[str], Problem]) -> Loss:
    """
    The loss of a claim to another.

    :param problem: makes the problem, of the reason why the other one comes first.
    """
    loser = claim.owner
    key = (claim.virtual_service.key, claim.path, server.key)
    return Loss(key, winner.resource, loser.resource, winner.comes_before(loser), problem)
