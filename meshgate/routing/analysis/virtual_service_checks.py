"""
Checks of VirtualServices against the Gateways that they name, and against each other in the mesh.

This gateway takes no part in the mesh, but the files that it reads may be applied in one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, takewhile

from meshgate.resources.kinds.gateway import Gateway, Server
from meshgate.resources.kinds.shared_fields import EVERYBODY
from meshgate.resources.kinds.virtualservice import (
    L4MatchAttributes,
    TLSMatchAttributes,
    VirtualService,
    VirtualServiceSpec,
)
from meshgate.resources.names import DOT_HINT
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import listing
from meshgate.routing.analysis.analysis_input import AnalysisInput, destinations_of, listed
from meshgate.routing.compile.route_binding import gateways_of, in_mesh
from meshgate.routing.compile.selection import scopes
from meshgate.routing.compile.unrouted import TCP, TLS, other_kind_cause, other_kind_hint, rules_taken, server_text
from meshgate.routing.hosts import (
    MESH,
    HostIndex,
    full_name,
    gateway_reference,
    is_wildcard,
    matches,
    names_for_namespace,
    server_hosts,
    specificity,
    wildcards_over,
)

Match = L4MatchAttributes | TLSMatchAttributes

_MOST_COMPARED = 10
"""The number of hosts of each side that are compared to find a hint."""

_MOST_LISTED = 3
"""The number of rivals that a problem names."""


def hosts_not_in_gateway(given: AnalysisInput) -> Iterator[Problem]:
    """Report VirtualServices that have no host in common with a Gateway that they name (virtualservice/gateways.go)."""
    indexes = given.host_indexes
    for virtual_service in given.virtual_services:
        for name in gateways_of(virtual_service):
            gateway = given.gateway_of.get(name)
            if gateway is None or not virtual_service.spec.hosts:
                continue
            if not all(server.hosts for server in gateway.spec.servers):
                continue  # the hosts of an invalid server, which cannot be read
            namespace = virtual_service.namespace
            hosts = [full_name(host, namespace, given.proxy.domain_suffix) for host in virtual_service.spec.hosts]
            if not any(indexes[name].meets(host, namespace) for host in hosts):
                yield _outside(virtual_service, gateway)


def host_index(gateway: Gateway) -> HostIndex:
    """Index the hosts of all servers of a Gateway, for :func:`hosts_not_in_gateway`."""
    return HostIndex(_hosts(gateway))


def _hosts(gateway: Gateway) -> list[str]:
    return [host for server in gateway.spec.servers for host in server_hosts(server.hosts, gateway.namespace)]


def _outside(virtual_service: VirtualService, gateway: Gateway) -> Problem:
    names = sorted(set(names_for_namespace(_hosts(gateway), virtual_service.namespace)), key=specificity)
    have = f"has {', '.join(names[:5])}" if names else f"has no host for the namespace {virtual_service.namespace}"
    return virtual_service.problem(
        Severity.WARNING,
        "MG2050",
        f"none of the hosts ({', '.join(virtual_service.spec.hosts[:5])}) is a host of Gateway "
        f"{gateway.qualified_name} ({gateway.location('spec.servers')}), which {have}",
        path="spec.hosts",
        hint="; ".join(["the Gateway takes no rule of this VirtualService", *_near_hints(virtual_service, names)]),
    )


def _near_hints(virtual_service: VirtualService, names: Sequence[str]) -> Iterator[str]:
    """Say what little keeps hosts apart; of many hosts only some are compared."""
    pairs = [(one, other) for one in virtual_service.spec.hosts[:_MOST_COMPARED] for other in names[:_MOST_COMPARED]]
    if any(matches(one.removesuffix("."), other.removesuffix(".")) for one, other in pairs):
        yield DOT_HINT
    if any(matches(one.lower(), other.lower()) for one, other in pairs):
        yield "upper and lower case count in hosts"


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
    """Report tcp and tls rules, and match blocks of them, that no server of a Gateway of their VirtualService takes."""
    for virtual_service in given.virtual_services:
        spec = virtual_service.spec
        names = gateways_of(virtual_service)
        gateways = [given.gateway_of[name] for name in names if name in given.gateway_of]
        if not spec.hosts or len(gateways) < len(names) or not given.faulty.isdisjoint(each.key for each in gateways):
            continue  # a delegate; or a Gateway is missing or not valid, which the compiler reports
        for path, kind, block in _blocks(spec):
            yield from _unreached(virtual_service, path, kind, block, gateways)


def _blocks(spec: VirtualServiceSpec) -> Iterator[tuple[str, str, Match | None]]:
    """The match blocks of all tls and tcp rules, each with its path and kind; None for a rule without match blocks."""
    for index, tls in enumerate(spec.tls):
        for number, named in enumerate(tls.match):
            yield f"spec.tls[{index}].match[{number}]", TLS, named
    for index, tcp in enumerate(spec.tcp):
        for number, plain in enumerate(tcp.match):
            yield f"spec.tcp[{index}].match[{number}]", TCP, plain
        if not tcp.match:
            yield f"spec.tcp[{index}]", TCP, None


def _unreached(
    virtual_service: VirtualService, path: str, kind: str, match: Match | None, gateways: Sequence[Gateway]
) -> Iterator[Problem]:
    """The problem that keeps a block from every server: the Gateways it names, its port, or the kind of its rule."""
    own = {gateway_reference(name, virtual_service.namespace) for name in virtual_service.spec.gateways or (MESH,)}
    asked = match.gateways if match is not None else ()
    wanted = {gateway_reference(name, virtual_service.namespace) for name in asked} or own
    strangers = sorted(wanted - own)
    what = "rule" if match is None else "block"
    if strangers and strangers == sorted(wanted):
        yield virtual_service.problem(
            Severity.WARNING,
            "MG2052",
            f"the {what} is never reached: it is for {', '.join(strangers)}, which the VirtualService does not name",
            path=f"{path}.gateways",
            hint=f"add {', '.join(strangers)} to spec.gateways",
        )
    if MESH in wanted or strangers:
        return
    named = [each for each in gateways if each.qualified_name in wanted]
    servers = [server for each in named for server in each.spec.servers]
    port = match.port if match is not None else 0
    if any(rules_taken(server) == kind and port in (0, server.port.number) for server in servers):
        return
    of_port = [server for server in servers if port in (0, server.port.number)]
    numbers = ((each.qualified_name, server.port.number) for each in named for server in each.spec.servers)
    causes = (other_kind_cause(virtual_service, *each) for each in numbers if port in (0, each[1]))
    reason, hint = _no_server(", ".join(sorted(wanted)), kind, port, servers, of_port)
    yield virtual_service.problem(
        Severity.WARNING,
        "MG2052",
        f"the {what} is never reached: {reason}",
        path=f"{path}.port" if port else path,
        hint=hint,
        causes=tuple(causes),
    )


def _no_server(
    gateway: str, kind: str, port: int, servers: Sequence[Server], of_port: Sequence[Server]
) -> tuple[str, str]:
    """
    Why no server takes a rule, and what to do about it.

    :param gateway: the names of the Gateways.
    :param servers: all of their servers.
    :param of_port: those with the port of the rule, none of which takes its kind.
    """
    if of_port:
        numbers = {server.port.number: server for server in of_port}
        texts = [f"port {number} of {gateway} is {server_text(server)}" for number, server in sorted(numbers.items())]
        return listing(texts[:3]), other_kind_hint(of_port[0], [kind])
    ports = sorted({server.port.number for server in servers if rules_taken(server) == kind})
    others = f"{kind} rules are taken on {listing(list(map(str, ports)))}" if ports else f"no server takes {kind} rules"
    hint = "the port is that of the Gateway's server, not of the service"
    return f"no server of {gateway} has the port {port}; {others}", hint


class _MeshHosts:
    """
    The VirtualServices of the mesh by their hosts, and by the namespaces to which these are exported.

    Thousands may share one host. All that share it and are exported to the same namespaces have the same rivals, so
    these are gathered once for all of them, and each takes only the first ones, which its problem names.

    :param members: the VirtualServices of the mesh, in their order.
    """

    def __init__(self, members: Iterable[VirtualService], domain_suffix: str) -> None:
        self._indexes: dict[ResourceKey, dict[str, int]] = defaultdict(dict)
        self._by_host: dict[str, list[VirtualService]] = defaultdict(list)
        self._by_scope: dict[tuple[str, str], list[VirtualService]] = defaultdict(list)
        self._public: dict[str, None] = {}
        for virtual_service in members:
            indexes, exported_to = self._indexes[virtual_service.key], scopes(virtual_service)
            for index, name in enumerate(virtual_service.spec.hosts):
                host = full_name(name, virtual_service.namespace, domain_suffix)
                if host in indexes:
                    continue
                indexes[host] = index
                self._by_host[host].append(virtual_service)
                for scope in exported_to:
                    self._by_scope[scope, host].append(virtual_service)
                if EVERYBODY in exported_to:
                    self._public[host] = None

    def path_of(self, virtual_service: VirtualService, host: str) -> str:
        """The path of a host in a VirtualService; that of all its hosts if it has an overlapping one instead."""
        index = self._indexes[virtual_service.key].get(host)
        return "spec.hosts" if index is None else f"spec.hosts[{index}]"

    def conflicts(self) -> Iterator[tuple[str, VirtualService, Sequence[VirtualService], int]]:
        """
        Each host of a VirtualService that has rivals there, with the first of these and the number of all.

        Rivals have the same host, and one namespace sees both. A host that is not exported to all namespaces also has
        rivals among the public hosts that overlap with it.
        """
        for host, sharing in self._by_host.items():
            public = self._by_scope.get((EVERYBODY, host), ())
            private = [each for each in sharing if EVERYBODY not in scopes(each)]
            for one in public if len(sharing) > 1 else ():
                yield host, one, _first_rivals(one, sharing, public, private), len(sharing) - 1
            if private:
                yield from self._private_conflicts(host, private)

    def _private_conflicts(
        self, host: str, private: Sequence[VirtualService]
    ) -> Iterator[tuple[str, VirtualService, Sequence[VirtualService], int]]:
        """The conflicts of a host's VirtualServices that are not public, and those of public ones with them."""
        overlapping = _once(each for public in self._overlapping(host) for each in self._by_scope[EVERYBODY, public])
        for one in overlapping:
            if host not in self._indexes[one.key]:
                yield host, one, private[:_MOST_LISTED], len(private)
        by_scopes: dict[frozenset[str], list[VirtualService]] = defaultdict(list)
        for one in private:
            by_scopes[scopes(one)].append(one)
        for seen_from, alike in by_scopes.items():
            by_scope = (self._by_scope[scope, host] for scope in sorted(seen_from))
            rivals = _once(each for sharing in by_scope for each in (*sharing, *overlapping))
            in_order = [each for each in private if not seen_from.isdisjoint(scopes(each))]
            for one in alike if len(rivals) > 1 else ():
                yield host, one, _first_rivals(one, in_order, rivals), len(rivals) - 1

    def _overlapping(self, host: str) -> Iterator[str]:
        """The hosts exported to all namespaces that have a name in common with a host."""
        if is_wildcard(host):
            return (public for public in self._public if matches(host, public))
        return (public for public in (host, *wildcards_over(host)) if public in self._public)


def _once(virtual_services: Iterable[VirtualService]) -> list[VirtualService]:
    return list({each.key: each for each in virtual_services}.values())


def _first_rivals(
    one: VirtualService, before: Iterable[VirtualService], *others: Iterable[VirtualService]
) -> list[VirtualService]:
    """The rivals that a problem names: at first those that come before the VirtualService itself."""
    found: dict[ResourceKey, VirtualService] = {}
    for each in chain(takewhile(lambda each: each is not one, before), *others):
        if len(found) == _MOST_LISTED:
            break
        if each is not one:
            found[each.key] = each
    return list(found.values())


def mesh_conflicts(given: AnalysisInput) -> Iterator[Problem]:
    """Report VirtualServices of the mesh that share a host (virtualservice/conflictingmeshgatewayhosts.go)."""
    mesh = _MeshHosts(filter(in_mesh, given.virtual_services), given.proxy.domain_suffix)
    for host, virtual_service, others, count in mesh.conflicts():
        rivals = [(other, mesh.path_of(other, host)) for other in others]
        yield virtual_service.problem(
            Severity.ERROR,
            "MG2053",
            f"in the mesh, {host} is also a host of VirtualService {listed(rivals, count)}, and only one of them "
            "counts",
            path=mesh.path_of(virtual_service, host),
            hint="merge them into one, or export them to different namespaces",
        )


def rules_without_effect(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report rules of a gateway for a host between whose subsets another VirtualService chooses: a gateway does not apply
    that VirtualService (virtualservice/destinationhosts.go, analyzeSubset).
    """
    for virtual_service in given.virtual_services:
        for path, destination, users in destinations_of(virtual_service) if given.subset_owners else ():
            if destination.subset or users in ((), (MESH,)):
                continue
            host = full_name(destination.host, virtual_service.namespace, given.proxy.domain_suffix)
            owners = given.subset_owners.get(host, {})
            others = [other for other in owners.values() if other[0] is not virtual_service]
            if others:
                others.sort(key=lambda other: other[0].order())
                yield virtual_service.problem(
                    Severity.WARNING,
                    "MG2063",
                    f"the choice of VirtualService {listed(others)} between subsets of {host} has no effect here: "
                    "a gateway uses all endpoints of the host",
                    path=path,
                    hint="name the subset in this rule",
                )


def subset_hosts(virtual_service: VirtualService, domain_suffix: str) -> Iterator[tuple[str, str]]:
    """
    The hosts of a VirtualService between whose subsets its own rules choose, each with the path of a subset; a host
    comes once for each such rule.
    """
    hosts = {full_name(host, virtual_service.namespace, domain_suffix) for host in virtual_service.spec.hosts}
    for path, destination, _ in destinations_of(virtual_service):
        if destination.subset:
            host = full_name(destination.host, virtual_service.namespace, domain_suffix)
            if host in hosts:
                yield host, f"{path}.subset"
