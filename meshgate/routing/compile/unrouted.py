"""
Servers from which nothing is routed: the problems of their Gateways say why.

Where VirtualServices are bound to the Gateway, :func:`no_fitting_rule` compares their hosts and rules with the server.
Where none is, :class:`UnboundServers` looks for those that were meant to be: they are not valid, not exported to this
gateway, or name a Gateway of another namespace that does not exist.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from meshgate.resources.kinds.virtualservice import VirtualService, VirtualServiceSpec
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource
from meshgate.resources.wording import listing
from meshgate.routing.compile.route_binding import Bindings, gateway_path, gateways_of
from meshgate.routing.compile.server_modes import (
    kinds_of_rules,
    names_in_words,
    other_kind_hint,
    rules_taken,
    server_text,
    with_article,
)
from meshgate.routing.compile.servers import BoundServer

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
        return _problem(server, reason, other_kind_hint(server.server, kinds))
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


def _problem(server: BoundServer, reason: str, hint: str) -> Problem:
    message = f"nothing is routed from this server on port {server.port_text}: {reason}"
    return server.problem(Severity.WARNING, "MG2008", message, hint)
