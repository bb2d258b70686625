"""
Servers from which nothing is routed: the problems of their Gateways say why.

A server takes one kind of the rules of VirtualServices at most. One that passes TLS through takes tls rules; one that
ends TLS, and one without TLS, takes tcp rules; one for HTTP takes http rules
(pilot/pkg/networking/core/gateway.go, createGatewayTCPFilterChainOpts). Istio silently leaves out rules of other kinds.

Where VirtualServices are bound to the Gateway, :func:`no_fitting_rule` compares their hosts and rules with the server.
Where none is, :class:`UnboundServers` looks for those that were meant to be: they are not valid, not exported to this
gateway, or name a Gateway of another namespace that does not exist.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from typing import Any, Final

from meshgate.resources.kinds.gateway import Server
from meshgate.resources.kinds.shared_fields import HTTP_PROTOCOLS
from meshgate.resources.kinds.tls import PASSTHROUGH_MODES, TLSMode
from meshgate.resources.kinds.virtualservice import VirtualService, VirtualServiceSpec
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource
from meshgate.resources.wording import listing
from meshgate.routing.compile.route_binding import Bindings, gateway_path, gateways_of
from meshgate.routing.compile.servers import BoundServer

HTTP: Final = "http"
TLS: Final = "tls"
TCP: Final = "tcp"
KINDS: Final = (TLS, TCP, HTTP)
"""The kinds of rules."""

_CURES: Final = {
    (TCP, HTTP): "write tcp rules; http rules need a server for HTTP",
    (TCP, TLS): "write tcp rules, or have the server route by server name: protocol TLS, mode PASSTHROUGH",
    (TLS, HTTP): "write tls rules with sniHosts; http rules need the gateway to end TLS: protocol HTTPS, mode SIMPLE",
    (TLS, TCP): "write tls rules with sniHosts, or mode SIMPLE if the gateway is to end TLS",
    (HTTP, TLS): "to pass TLS through, write the protocol TLS and the mode PASSTHROUGH",
    (HTTP, TCP): "to forward bytes, write the protocol TCP; or, if the gateway is to end TLS, the protocol TLS",
}
"""The hint where a server takes the first kind of rules, and there are those of the second."""


def rules_taken(server: Server) -> str:
    """The kind of rules that a server takes: one of :data:`KINDS`, or an empty text if it takes none."""
    protocol, tls = server.port.protocol.upper(), server.tls
    if protocol in HTTP_PROTOCOLS:
        return HTTP
    if tls is None:
        return TCP
    if tls.mode == TLSMode.AUTO_PASSTHROUGH:
        return ""
    if tls.mode in PASSTHROUGH_MODES:
        return TLS
    return HTTP if protocol == "HTTPS" else TCP


def server_text(server: Server) -> str:
    """A server in words: ``a TLS server of mode PASSTHROUGH, which takes tls rules``."""
    protocol = server.port.protocol.upper()
    mode = ""
    if server.tls is not None and protocol not in HTTP_PROTOCOLS:
        mode = f" of mode {server.tls.mode}" + ("" if "mode" in server.tls.model_fields_set else " (the default)")
    return f"{with_article(protocol)} server{mode}, which takes {rules_taken(server) or 'no'} rules"


def with_article(protocol: str) -> str:
    """A protocol with its article: ``an HTTP``, ``a TCP``."""
    return f"{'an' if protocol.startswith('H') else 'a'} {protocol}"


def kinds_of_rules(virtual_service: VirtualService) -> list[str]:
    """The kinds of rules that a VirtualService has."""
    spec = virtual_service.spec
    return [kind for kind, rules in zip(KINDS, (spec.tls, spec.tcp, spec.http_rules), strict=True) if rules]


def other_kind_hint(server: Server, kinds: Sequence[str]) -> str:
    """
    What to do where rules are of other kinds than a server takes.

    :param kinds: of the rules that there are.
    """
    taken = rules_taken(server)
    return next((_CURES[taken, kind] for kind in kinds if (taken, kind) in _CURES), "")


def other_kind_cause(virtual_service: VirtualService, gateway: str, port: int) -> Hashable:
    """The cause of problems at a server, or at rules, that are of different kinds."""
    return virtual_service.key, gateway, port


def names_in_words(virtual_services: Sequence[VirtualService], most: int = 3) -> str:
    """Some VirtualServices by name, as in a sentence: ``a/x, a/y, a/z and 2 more``."""
    names = [each.qualified_name for each in virtual_services]
    return listing([*names[:most], f"{len(names) - most} more"] if len(names) > most else names)


_MOST_HOSTS: Final = 5


def no_fitting_rule(server: BoundServer, bound: Sequence[VirtualService], meeting: Sequence[VirtualService]) -> Problem:
    """
    The problem of a server whose VirtualServices have no rule for it.

    :param bound: the VirtualServices that are bound to the Gateway; at least one.
    :param meeting: those with a host in common with the server.
    """
    number, kind = server.server.port.number, rules_taken(server.server)
    if not meeting:
        names = names_in_words(bound)
        hosts = ", ".join(server.hosts[:_MOST_HOSTS])
        reason = f"no host of {names} is among the server's hosts ({hosts})"
        return _problem(server, reason, f"write one of these hosts in the VirtualService, and {kind} rules for it")
    names = names_in_words(meeting)
    kinds = sorted({each for virtual_service in meeting for each in kinds_of_rules(virtual_service)}, reverse=True)
    if kind not in kinds:
        verb = "has" if len(meeting) == 1 else "have"
        reason = f"it is {server_text(server.server)}, and {names} {verb} {listing(kinds)} rules only"
        causes = tuple(other_kind_cause(each, server.gateway.qualified_name, number) for each in meeting)
        return _problem(server, reason, other_kind_hint(server.server, kinds), causes)
    reason = f"no {kind} rule of {names} is for port {number} of this Gateway"
    return _problem(server, reason, "a match block counts if its port and its gateways, where it names them, fit")


class UnboundServers:
    """
    Servers of Gateways to which no VirtualService is bound.

    :param bindings: of all valid VirtualServices.
    :param existing: the names of all Gateways, as ``namespace/name``.
    :param refused: all invalid resources.
    """

    def __init__(self, bindings: Bindings, existing: Collection[str], refused: Iterable[Resource[Any]]) -> None:
        self._bindings = bindings
        self._invalid: dict[str, list[VirtualService]] = defaultdict(list)
        for resource in sorted(refused, key=Resource.order):
            for name in gateways_of(resource) if isinstance(resource.spec, VirtualServiceSpec) else ():
                self._invalid[name].append(resource)
        self._missing: dict[str, list[str]] = defaultdict(list)
        for name in sorted(bindings.named()):
            if name not in existing:
                self._missing[name.partition("/")[2]].append(name)

    def problems(self, servers: Iterable[BoundServer]) -> Iterator[Problem]:
        """The problem of each server."""
        return (_problem(server, *self._reason(server)) for server in servers)

    def _reason(self, server: BoundServer) -> tuple[str, str]:
        """Why no VirtualService is bound, and what to do about it."""
        gateway = server.gateway.qualified_name
        invalid, hidden = self._invalid.get(gateway, []), self._naming(gateway)
        if invalid:
            owner = "the VirtualService" if len(invalid) == 1 else "each VirtualService"
            return f"{_of(invalid)} not valid", f"the problems of {owner} say why"
        if hidden:
            return f"{_of(hidden)} not visible to this gateway", 'add the namespace of the gateway or "*" to exportTo'
        kind = rules_taken(server.server)
        hint = f"write a VirtualService with gateways: [{gateway}] and {kind} rules"
        for name in self._missing.get(server.gateway.name, ()):
            near = self._naming(name)[0]
            location = near.location(gateway_path(near, name))
            reason = f"no VirtualService names the Gateway; {near.qualified_name} ({location}) names {name}"
            return f"{reason}, which does not exist", f"write {gateway} there"
        protocol = with_article(server.protocol)
        return "no VirtualService names the Gateway", f"{hint}: {protocol} server takes its routes from these"

    def _naming(self, gateway: str) -> list[VirtualService]:
        return sorted(self._bindings.naming(gateway), key=Resource.order)


def _of(virtual_services: Sequence[VirtualService]) -> str:
    """The VirtualServices that name a Gateway, as a subject with its verb."""
    names = names_in_words(virtual_services)
    if len(virtual_services) == 1:
        return f"the VirtualService that names the Gateway, {names} ({virtual_services[0].location()}), is"
    return f"the VirtualServices that name the Gateway, {names}, are"


def _problem(server: BoundServer, reason: str, hint: str, causes: tuple[Hashable, ...] = ()) -> Problem:
    message = f"nothing is routed from this server on port {server.port_text}: {reason}"
    return server.problem(Severity.WARNING, "MG2008", message, hint, causes=causes)
