"""Checks of VirtualServices against the Gateways that they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshgate.resources.kinds.gateway import Gateway, Server
from meshgate.resources.kinds.protocols import HTTP_PROTOCOLS
from meshgate.resources.kinds.tls import PASSTHROUGH_MODES
from meshgate.resources.kinds.virtualservice import (
    L4MatchAttributes,
    TLSMatchAttributes,
    VirtualService,
    VirtualServiceSpec,
)
from meshgate.resources.names import DOT_HINT
from meshgate.resources.problem import Problem, Severity
from meshgate.routing.analysis.analysis_input import AnalysisInput
from meshgate.routing.compile.route_binding import gateways_of
from meshgate.routing.hosts import (
    MESH,
    HostIndex,
    gateway_reference,
    matches,
    names_for_namespace,
    server_hosts,
    specificity,
)

Match = L4MatchAttributes | TLSMatchAttributes

_MOST_COMPARED = 10
"""The number of hosts of each side that are compared to find a hint."""


def hosts_not_in_gateway(given: AnalysisInput) -> Iterator[Problem]:
    """Report VirtualServices that have no host in common with a Gateway that they name (virtualservice/gateways.go)."""
    indexes = given.host_indexes
    for virtual_service in given.virtual_services:
        for name in gateways_of(virtual_service):
            gateway = given.gateway_of.get(name)
            if gateway is None or not virtual_service.spec.hosts:
                continue
            if not any(indexes[name].meets(host, virtual_service.namespace) for host in virtual_service.spec.hosts):
                yield _outside(virtual_service, gateway)


def host_index(gateway: Gateway) -> HostIndex:
    """Index the hosts of all servers of a Gateway, for :func:`hosts_not_in_gateway`."""
    return HostIndex(_hosts(gateway))


def _hosts(gateway: Gateway) -> list[str]:
    return [host for server in gateway.spec.servers for host in server_hosts(server.hosts, gateway.namespace)]


def _outside(virtual_service: VirtualService, gateway: Gateway) -> Problem:
    names = sorted(set(names_for_namespace(_hosts(gateway), virtual_service.namespace)), key=specificity)
    dotted = _apart_by_dot(virtual_service.spec.hosts, names)
    have = f"has {', '.join(names[:5])}" if names else f"has no host for the namespace {virtual_service.namespace}"
    return virtual_service.problem(
        Severity.WARNING,
        "MG2050",
        f"none of the hosts ({', '.join(virtual_service.spec.hosts[:5])}) is a host of Gateway "
        f"{gateway.qualified_name} ({gateway.location('spec.servers')}), which {have}",
        path="spec.hosts",
        hint="the Gateway takes no rule of this VirtualService" + (f"; {DOT_HINT}" if dotted else ""),
    )


def _apart_by_dot(hosts: Sequence[str], others: Sequence[str]) -> bool:
    """True if a dot at the end is all that keeps some of these hosts apart; of many hosts only some are compared."""
    return any(
        matches(host.removesuffix("."), other.removesuffix("."))
        for host in hosts[:_MOST_COMPARED]
        for other in others[:_MOST_COMPARED]
    )


def hostless_destinations(given: AnalysisInput) -> Iterator[Problem]:
    """Report destinations of http rules that name no host (virtualservice/destinationhosts.go)."""
    for virtual_service in given.virtual_services:
        for number, rule in enumerate(virtual_service.spec.http_rules):
            for path in rule.hostless:
                yield virtual_service.problem(
                    Severity.ERROR,
                    "MG2020",
                    "the destination names no host",
                    path=f"spec.http[{number}].{path}",
                    hint="write destination.host, the name of a service",
                )


def unreached_rules(given: AnalysisInput) -> Iterator[Problem]:
    """Report match blocks of tcp and tls rules that match no server of any Gateway that their VirtualService names."""
    for virtual_service in given.virtual_services:
        spec = virtual_service.spec
        names = gateways_of(virtual_service)
        gateways = [given.gateway_of[name] for name in names if name in given.gateway_of]
        if not spec.hosts or len(gateways) < len(names):
            continue  # a delegate; or a Gateway is missing, which the compiler reports
        for path, block in _blocks(spec):
            yield from _unreached(virtual_service, path, block, gateways)


def _blocks(spec: VirtualServiceSpec) -> Iterator[tuple[str, Match]]:
    """The match blocks of all tls and tcp rules, each with its path."""
    for index, tls in enumerate(spec.tls):
        for number, named in enumerate(tls.match):
            yield f"spec.tls[{index}].match[{number}]", named
    for index, tcp in enumerate(spec.tcp):
        for number, plain in enumerate(tcp.match):
            yield f"spec.tcp[{index}].match[{number}]", plain


def _unreached(
    virtual_service: VirtualService, path: str, match: Match, gateways: Sequence[Gateway]
) -> Iterator[Problem]:
    """The problem that keeps a block from every server: the Gateways it names, its port, or the kind of its rule."""
    own = {gateway_reference(name, virtual_service.namespace) for name in virtual_service.spec.gateways or (MESH,)}
    wanted = {gateway_reference(name, virtual_service.namespace) for name in match.gateways} or own
    strangers = sorted(wanted - own)
    if strangers and strangers == sorted(wanted):
        yield virtual_service.problem(
            Severity.WARNING,
            "MG2052",
            f"the block is never reached: it is for {', '.join(strangers)}, which the VirtualService does not name",
            path=f"{path}.gateways",
            hint=f"add {', '.join(strangers)} to spec.gateways",
        )
    if MESH in wanted or strangers or not match.port:
        return
    servers = [server for each in gateways if each.qualified_name in wanted for server in each.spec.servers]
    kind = "tls" if isinstance(match, TLSMatchAttributes) else "tcp"
    ports = sorted({server.port.number for server in servers if _takes(server, kind)})
    if match.port not in ports:
        others = f"only {', '.join(map(str, ports))}" if ports else "nor any other"
        yield virtual_service.problem(
            Severity.WARNING,
            "MG2052",
            f"the block is never reached: no server of {', '.join(sorted(wanted))} has the port {match.port} "
            f"for {kind} rules, {others}",
            path=f"{path}.port",
            hint="the port is that of the Gateway's server, not of the service",
        )


def _takes(server: Server, kind: str) -> bool:
    """True if a server takes rules of a kind: tls if it passes TLS through, else tcp."""
    if server.port.protocol in HTTP_PROTOCOLS:
        return False
    passes = server.tls is not None and server.tls.mode in PASSTHROUGH_MODES
    return passes == (kind == "tls")
