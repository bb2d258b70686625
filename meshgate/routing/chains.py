"""
From bound servers and VirtualServices to the chains of every listener.

The rules are Istio's (pilot/pkg/networking/core/gateway.go): a TCP server, or one that terminates TLS, takes the
first VirtualService with a fitting tcp rule and nothing after it; a passthrough server takes every fitting match
block of every VirtualService, save those with a name that is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.virtualservice import L4MatchAttributes, TCPRoute, TLSMatchAttributes, TLSRoute
from meshgate.routing.binding import Bindings, VirtualService
from meshgate.routing.destinations import Destinations
from meshgate.routing.hosts import HostIndex, gateway_reference, without_namespace
from meshgate.routing.listeners import ListenerBuilder, Owner
from meshgate.routing.servers import BoundServer, duplicates
from meshgate.routing.table import CATCH_ALL, Chain, Listener, ListenerKey

HTTP_REFUSAL = "this is an HTTP server, and the gateway works below HTTP"
TERMINATION_REFUSAL = "the server terminates TLS, which this gateway does not do yet"
CAMEL = {
    "destination_subnets": "destinationSubnets",
    "source_subnet": "sourceSubnet",
    "source_labels": "sourceLabels",
    "source_namespace": "sourceNamespace",
}


class ChainBuilder:
    """
    Builds all listeners of one generation.

    :param bindings: the VirtualServices of every Gateway.
    :param destinations: makes destinations, and notes what they lack.
    :cvar ignored_fields: the conditions that mean nothing.
    """

    ignored_fields: ClassVar[Sequence[str]] = (
        "destination_subnets",
        "source_subnet",
        "source_labels",
        "source_namespace",
    )

    def __init__(self, bindings: Bindings, destinations: Destinations) -> None:
        self._bindings = bindings
        self._destinations = destinations
        self._listeners: dict[ListenerKey, ListenerBuilder] = {}
        self._sni_owners: dict[int, dict[str, tuple[str, Owner]]] = {}
        self._ignored_said: set[tuple[object, ...]] = set()
        self.problems: list[Problem] = []

    def add(self, server: BoundServer) -> None:
        """Build the chains of one server, in its turn."""
        listener = self._listeners.setdefault(server.key, ListenerBuilder(server))
        if server.is_http:
            self._http(server, listener)
        elif server.server.tls is not None and server.server.tls.mode == "AUTO_PASSTHROUGH":
            self.problems.append(
                server.problem(Severity.ERROR, "MG2031", "AUTO_PASSTHROUGH is for multi-cluster meshes and not served")
            )
        elif server.is_passthrough:
            self._passthrough(server, listener)
        else:
            self._plain(server, listener)

    def listeners(self) -> dict[ListenerKey, Listener]:
        """The listeners that have something to serve."""
        built = ((key, builder.build()) for key, builder in self._listeners.items())
        return {key: listener for key, listener in built if listener is not None}

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
        winner: tuple[VirtualService, str] | None = None
        names = server_names(server) if server.is_tls else ()
        for virtual_service in self._bindings.meeting(server):
            for index, rule in enumerate(virtual_service.spec.tcp):
                path = f"spec.tcp[{index}]"
                if not _rule_fits(rule, server, virtual_service):
                    continue
                self._note_ignored(virtual_service, path, numbered_blocks(path, rule))
                if winner is not None:
                    self.problems.append(_second_rule(virtual_service, path, server, *winner))
                    continue
                winner = (virtual_service, path)
                chain = self._chain(server, virtual_service, path, rule, names)
                self._admit(listener, chain, server, virtual_service, path)
        if winner is None:
            self.problems.append(self._no_chain(server, "tcp"))
        elif server.is_tls:
            self.problems.append(server.problem(Severity.ERROR, "MG2032", TERMINATION_REFUSAL))

    def _passthrough(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """A passthrough server: every fitting block of every rule brings a chain of its own."""
        hosts = HostIndex(server.hosts)
        found = False
        for virtual_service, rule, match, path, route_path in self._blocks(server):
            found = True
            if self._taken(server, virtual_service, path, match.sni_hosts):
                continue
            chain = self._chain(server, virtual_service, path, rule, match.sni_hosts, route_path)
            self._admit(listener, chain, server, virtual_service, path)
            self._note_wider(server, hosts, virtual_service, path, match.sni_hosts)
        if not found:
            self.problems.append(self._no_chain(server, "tls"))

    def _blocks(self, server: BoundServer) -> Iterator[tuple[VirtualService, TLSRoute, TLSMatchAttributes, str, str]]:
        """Every block of a tls rule that fits the server, with its rule, its path and the rule's."""
        for virtual_service in self._bindings.meeting(server):
            for index, rule in enumerate(virtual_service.spec.tls):
                for number, match in enumerate(rule.match):
                    if fits(match, server, virtual_service):
                        path = f"spec.tls[{index}].match[{number}]"
                        self._note_ignored(virtual_service, path, [(path, match)])
                        yield virtual_service, rule, match, path, f"spec.tls[{index}]"

    def _chain(
        self,
        server: BoundServer,
        virtual_service: VirtualService,
        path: str,
        rule: TCPRoute | TLSRoute,
        names: Sequence[str],
        route_path: str = "",
    ) -> Chain:
        terminates = server.is_tls and not server.is_passthrough
        return Chain(
            names=tuple(name.lower() for name in names),
            gateway=server.gateway.qualified_name,
            server=server.server.port.name,
            virtual_service=virtual_service.qualified_name,
            rule=path,
            destinations=self._destinations.of(
                virtual_service, route_path or path, rule.route, server.server.port.number
            ),
            terminate=terminates,
            refusal=TERMINATION_REFUSAL if terminates else "",
            policy=self._destinations.connection_policy(virtual_service, route_path or path, rule.route),
        )

    def _admit(
        self,
        listener: ListenerBuilder,
        chain: Chain,
        server: BoundServer,
        virtual_service: VirtualService,
        path: str,
    ) -> None:
        why = listener.refuse(chain.names)
        if why is None:
            listener.add(chain, owner_of(server, virtual_service, path), sniffs=server.is_tls)
            return
        self.problems.append(
            virtual_service.problem(
                Severity.ERROR,
                "MG2004",
                f"the rule is dropped: {why} on {server.key}",
                path=path,
                hint="Envoy would refuse the whole listener",
                listener=str(server.key),
            )
        )

    def _taken(self, server: BoundServer, virtual_service: VirtualService, path: str, names: Sequence[str]) -> bool:
        """Whether a name of the block is some other block's: then the whole block is dropped, its new names too."""
        owner = owner_of(server, virtual_service, path)
        known = self._sni_owners.setdefault(server.port, {})
        clash = duplicates(names, server.server.bind, known, owner)
        # A rule that meets two servers of a port comes by twice; the second time it loses to itself only.
        lost = [(name, other) for name, other in clash if other.text != owner.text]
        if lost:
            taken = ", ".join(name for name, _ in lost)
            self.problems.append(
                virtual_service.problem(
                    Severity.ERROR,
                    "MG2005",
                    f"the whole match block is dropped: {taken} on port {server.port} already goes to {lost[0][1]}",
                    path=f"{path}.sniHosts[{names.index(lost[0][0])}]",
                    hint="the older VirtualService wins, then the name that sorts first",
                    listener=str(server.key),
                )
            )
        return bool(clash)

    def _note_ignored(
        self,
        virtual_service: VirtualService,
        path: str,
        blocks: Sequence[tuple[str, L4MatchAttributes | TLSMatchAttributes]],
    ) -> None:
        used = {
            CAMEL[field]: f"{place}.{CAMEL[field]}"
            for field in self.ignored_fields
            for place, match in reversed(blocks)
            if getattr(match, field, None)
        }
        if used and (virtual_service.key, path) not in self._ignored_said:
            self._ignored_said.add((virtual_service.key, path))
            self.problems.append(
                virtual_service.problem(
                    Severity.WARNING,
                    "MG2006",
                    f"{', '.join(used)} means nothing on a gateway: the rule takes connections from and to anywhere",
                    path=next(iter(used.values())),
                    hint="Istio ignores it here without a word",
                )
            )

    def _note_wider(
        self,
        server: BoundServer,
        hosts: HostIndex,
        virtual_service: VirtualService,
        path: str,
        names: Sequence[str],
    ) -> None:
        wider = [name for name in names if not hosts.covers(name)]
        if wider:
            self.problems.append(
                virtual_service.problem(
                    Severity.WARNING,
                    "MG2007",
                    f"{', '.join(wider)} reaches beyond the hosts of the {server}, and is routed all the same",
                    path=f"{path}.sniHosts[{names.index(wider[0])}]",
                    hint="Istio does not cut server names to the server's hosts; narrow sniHosts",
                    listener=str(server.key),
                )
            )

    def _no_chain(self, server: BoundServer, kind: str) -> Problem:
        bound = self._bindings.of(server.gateway.qualified_name)
        meeting = list(self._bindings.meeting(server))
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


def _second_rule(
    virtual_service: VirtualService, path: str, server: BoundServer, first: VirtualService, first_path: str
) -> Problem:
    return virtual_service.problem(
        Severity.WARNING,
        "MG2009",
        f"the rule never gets a connection: port {server.port} goes whole to VirtualService "
        f"{first.qualified_name} ({first.place(first_path)}) {first_path}",
        path=path,
        hint="a TCP port has no names to tell routes apart; give each its own port",
        listener=str(server.key),
    )
