"""
From what rules ask for to the chains of every listener: who gets what, and what is said to those who lose.

The rules are Istio's (pilot/pkg/networking/core/gateway.go): a TCP server, or one that terminates TLS, takes the
first VirtualService with a fitting tcp rule and nothing after it; a passthrough server takes every fitting match
block of every VirtualService, save those with a name that is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.routing.compile.claims import TERMINATION_REFUSAL, Claim, ServerClaims, server_names
from meshgate.routing.compile.listeners import ListenerBuilder, Owner
from meshgate.routing.compile.servers import BoundServer, duplicates
from meshgate.routing.table import CATCH_ALL, Chain, ListenerKey

AUTO = "AUTO_PASSTHROUGH"
HTTP_REFUSAL = "this is an HTTP server, and the gateway works below HTTP"


class ChainBuilder:
    """
    Builds the listeners of some servers, with all that these have against each other.

    :param bound: the VirtualServices of each Gateway, in their order.
    :param claims: gives the claims of a VirtualService to a server.
    :ivar listeners: what is built so far.
    :ivar problems: what was dropped or ignored.
    :ivar used: what the destinations of the chains rest on, and how many of them.
    """

    def __init__(
        self,
        bound: Callable[[BoundServer], Sequence[VirtualService]],
        claims: Callable[[BoundServer, VirtualService], ServerClaims],
    ) -> None:
        self._bound = bound
        self._claims_of = claims
        self._sni_owners: dict[int, dict[str, tuple[str, Owner]]] = {}
        self._ignored_said: set[tuple[object, ...]] = set()
        self.listeners: dict[ListenerKey, ListenerBuilder] = {}
        self.problems: list[Problem] = []
        self.used: Counter[ResourceKey] = Counter()

    def add(self, server: BoundServer) -> None:
        """Build the chains of one server, in its turn."""
        listener = self.listeners.get(server.key)
        if listener is None:
            listener = self.listeners[server.key] = ListenerBuilder(server)
        listener.join(server)
        if server.is_http:
            self._http(server, listener)
        elif takes_no_rules(server):
            self.problems.append(
                server.problem(Severity.ERROR, "MG2031", "AUTO_PASSTHROUGH is for multi-cluster meshes and not served")
            )
        elif server.is_passthrough:
            self._passthrough(server, listener)
        else:
            self._plain(server, listener)

    def _claims(self, server: BoundServer) -> Iterator[Claim]:
        """The claims of every VirtualService of the server's Gateway to the server, in their order."""
        for virtual_service in self._bound(server):
            yield from self._claims_of(server, virtual_service).claims

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

    def _plain(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """A TCP server, or a TLS server that terminates: one rule takes everything."""
        winner: Claim | None = None
        for claim in self._claims(server):
            self._note_ignored(claim)
            if winner is not None:
                self.problems.append(_second_rule(claim, server, winner))
            else:
                winner = claim
                self._admit(listener, claim, server)
        if winner is None:
            self.problems.append(self._no_chain(server, "tcp"))
        elif server.is_tls:
            self.problems.append(server.problem(Severity.ERROR, "MG2032", TERMINATION_REFUSAL))

    def _passthrough(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """A passthrough server: every fitting block of every rule brings a chain of its own."""
        found = False
        for claim in self._claims(server):
            found = True
            self._note_ignored(claim)
            if not self._taken(server, claim):
                self._admit(listener, claim, server)
                self.problems += [claim.wider] if claim.wider is not None else []
        if not found:
            self.problems.append(self._no_chain(server, "tls"))

    def _admit(self, listener: ListenerBuilder, claim: Claim, server: BoundServer) -> None:
        self.problems += claim.problems
        self.used.update(claim.used)
        why = listener.refuse(claim.chain.names)
        if why is None:
            listener.add(claim.chain, claim.owner, sniffs=server.is_tls)
            return
        self.problems.append(
            claim.virtual_service.problem(
                Severity.ERROR,
                "MG2004",
                f"the rule is dropped: {why} on {server.address}",
                path=claim.path,
                hint="Envoy would refuse the whole listener",
                listener=str(server.address),
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
                    listener=str(server.address),
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
        meeting = [each for each in bound if self._claims_of(server, each).meets]
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
    """The names that a server can take from others, or lose to them, whatever the rules for it."""
    if server.server.tls is not None:
        yield from server.hosts
        if not server.is_passthrough:
            yield from server_names(server) or (CATCH_ALL,)


def takes_no_rules(server: BoundServer) -> bool:
    """Whether no rule brings a chain to a server."""
    return server.is_http or (server.server.tls is not None and server.server.tls.mode == AUTO)


def takes_blocks(server: BoundServer) -> bool:
    """Whether every fitting match block brings a chain of its own to a server."""
    return server.is_passthrough and not takes_no_rules(server)


def _second_rule(claim: Claim, server: BoundServer, first: Claim) -> Problem:
    winner = first.virtual_service
    return claim.virtual_service.problem(
        Severity.WARNING,
        "MG2009",
        f"the rule never gets a connection: port {server.port} goes whole to VirtualService "
        f"{winner.qualified_name} ({winner.location(first.path)}) {first.path}",
        path=claim.path,
        hint="a TCP port has no names to tell routes apart; give each its own port",
        listener=str(server.address),
    )
