"""
Lacks: what a destination may be without, so that nothing can be sent to it, or not by this gateway.

Each is a problem without a location yet, since the routes of several VirtualServices may lead to one destination.

A destination may also lack clients that begin with a ClientHello, so that a rule by server name never sees one. The
client of such a protocol first asks in plain text for TLS, or waits for the server's greeting. The gateway of Istio
sees no TLS then, and closes the connection, unless a rule takes every name (:func:`late_hello`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from meshgate.resources.kinds.loadbalancer import LoadBalancing
from meshgate.resources.kinds.route_destinations import Destination as RouteTarget
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.serviceentry import Resolution, ServiceEntrySpec
from meshgate.resources.kinds.shared_fields import NOBODY
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import listing
from meshgate.routing.compile.catalog import Catalog, CatalogHost
from meshgate.routing.compile.catalog_port import CatalogPort
from meshgate.routing.compile.destination_rules import DestinationRules
from meshgate.routing.compile.rule_candidates import Viewer, missing_subset
from meshgate.routing.compile.selection import EXPORT_TO_ANNOTATION, scopes
from meshgate.routing.compile.traffic_policies import ORIGINATING, PolicySource


@dataclass(frozen=True, slots=True)
class Lack:
    """
    A problem of a destination, before it has a location.

    :ivar field: the field of the destination with the fault, as ``.host``; empty for the whole destination.
    """

    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    field: str = ""


class DestinationProblems:
    """The problems of destinations and their policies, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Problem] = {}

    def add_lack(self, virtual_service: VirtualService, path: str, lack: Lack) -> None:
        """
        Add the problem that a destination lacks something.

        :param path: of the destination.
        """
        key = (virtual_service.key, path, lack.message)
        if key not in self._found:
            self._found[key] = virtual_service.problem(
                lack.severity, lack.code, lack.message, path=path + lack.field, hint=lack.hint
            )

    def add(self, problem: Problem | None) -> None:
        """Add a problem of a policy, if there is one."""
        if problem is not None:
            self._found.setdefault((problem.namespace, problem.name, problem.path, problem.message), problem)

    def __iter__(self) -> Iterator[Problem]:
        yield from self._found.values()


def unknown_host(catalog: Catalog, all_hosts: Catalog, host: str, viewer: str, namespace: str) -> Lack:
    """
    The fault of a host that does not exist, or is not visible, or belongs to an invalid resource.

    :param all_hosts: the hosts that exist, and those of invalid resources.
    :param viewer: the namespace from which the host must be visible.
    :param namespace: of the VirtualService.
    """
    hidden = catalog.find(host)
    faulty = all_hosts.find(host) if hidden is None else None
    if faulty is not None:
        message = f"the host {host} is that of {faulty.source.key} ({faulty.source.location()}), which is not valid"
        return Lack("MG2023", message, f"the problems of that {faulty.source.kind} say why", field=".host")
    if hidden is None and catalog.is_of_istio(host):
        hint = "its connections are closed here; give the routes Istio's Service as well"
        return Lack("MG2020", f"the Service of Istio {host} was not read", hint, Severity.INFO, ".host")
    if hidden is None:
        hint = catalog.unknown_host_hint(host, namespace)
        return Lack("MG2020", f"the host {host} is unknown", hint, field=".host")
    exported_to = sorted(scopes(hidden.source) - {NOBODY})
    field = f"annotation {EXPORT_TO_ANNOTATION}" if isinstance(hidden.source.spec, ServiceSpec) else "exportTo"
    seen_by, where = ", ".join(exported_to) or "nobody", hidden.source.location("spec.exportTo")
    message = (
        f"the host {host} is not visible in the namespace {viewer}: {hidden.source.key} ({where}) is exported to "
        f"{seen_by} only"
    )
    hint = f'add {viewer} or "*" to its {field}' if exported_to else f'write {viewer} or "*" in its {field}'
    return Lack("MG2046", message, hint, field=".host")


def no_port_named(found: CatalogHost, target: RouteTarget) -> Lack | None:
    """The fault that a host does not have the port that a destination names, or None."""
    number = target.port.number if target.port is not None else None
    return no_port(found, number, is_named=True) if number and number not in found.ports else None


def no_port(found: CatalogHost, number: int, *, is_named: bool) -> Lack:
    """
    The fault that a host does not have a port.

    :param is_named: the destination names it; else it is that of the server.
    """
    source = found.source
    if not found.ports and not found.udp_ports:
        location = source.location("spec")
        hint = "write them under spec.ports"
        return Lack("MG2021", f"{found.host} has no ports: {source.key} ({location}) lists none", hint)
    have, field = listing(list(map(str, sorted(found.ports)))) or "none for TCP", ".port.number"
    missing = f"{found.host} has no port {number}{' for TCP' if number in found.udp_ports else ''}"
    if not is_named:
        message = f"{missing}, that of the server, which counts where the route names none"
        return Lack("MG2021", f"{message}; it has {have}", f"name one of them under destination{field}")
    targets = [port for port in source.spec.ports if port.target_port == number]
    hint = f"name one of the ports under destination{field}"
    if targets:
        meant = getattr(targets[0], "port", None) or targets[0].number
        hint = f"did you mean {meant}? {number} is its targetPort, the port of the endpoints"
    return Lack("MG2021", f"{missing}; it has {have}", hint, field=field)


def no_subset(rules: DestinationRules, catalog: Catalog, found: CatalogHost, name: str, viewer: Viewer) -> Lack:
    """The fault that a proxy finds no such subset."""
    message, hint = missing_subset(rules, catalog, found, name, viewer)
    return Lack("MG2043", message, hint, field=".subset")


def tls_lack(tls: PolicySource | None) -> Lack | None:
    """The fault that a policy forbids connections in the clear, or None."""
    if tls is None or tls.value.mode not in ORIGINATING:
        return None
    return Lack(
        "MG2045",
        f"the endpoint expects TLS of mode {tls.value.mode}, which this gateway does not originate yet",
        f"{_named(tls, 'tls')} asks for it; nothing is sent in the clear",
    )


def undescribed(alias: CatalogHost) -> Lack:
    """The fault that a Service of type ExternalName stands for a name that is no host."""
    name = alias.source.spec.stands_for
    return Lack(
        "MG2080",
        f"{alias.source.key} ({alias.source.location('spec.externalName')}) stands for {name}, which is a host of no "
        "Service and no ServiceEntry: Istio closes these connections, and this gateway dials the name",
        f"write a ServiceEntry for {name}, and name that as the destination",
        Severity.WARNING,
        ".host",
    )


def preamble_lack(sections: Mapping[str, PolicySource]) -> Lack | None:
    """The fault that an endpoint waits for a request before the client's bytes, or None."""
    tunnel = sections.get("tunnel")
    if tunnel is None:
        return None
    return Lack(
        "MG2076",
        "the endpoint waits for the request for a tunnel, which this gateway does not send yet",
        f"{_named(tunnel, 'tunnel')} asks for it; without it, no connection is made, as the client's first bytes would "
        "be taken for it",
    )


def no_resolution_lack(found: CatalogHost, number: int) -> Lack | None:
    """The fault that a ServiceEntry leaves the original destination, which is the gateway itself, or None."""
    spec, port = found.source.spec, found.ports[number]
    if port.endpoints or not isinstance(spec, ServiceEntrySpec) or spec.resolution is not Resolution.NONE:
        return None
    has_it = "has it" if "resolution" in spec.model_fields_set else "leaves resolution out, which is NONE"
    return Lack(
        "MG2069",
        port.missing,
        f"{found.source.key} ({found.source.location('spec.resolution')}) {has_it}, and that is for sidecars alone; "
        "write resolution: DNS, or STATIC with endpoints",
    )


def passthrough_lack(load_balancer: PolicySource | None) -> Lack | None:
    """The fault that a policy asks for the original destination, which is the gateway itself, or None."""
    if load_balancer is None or load_balancer.value.simple is not LoadBalancing.PASSTHROUGH:
        return None
    return Lack(
        "MG2069",
        "loadBalancer PASSTHROUGH keeps the original destination, which a gateway does not have",
        f"{_named(load_balancer, 'loadBalancer')} asks for it; Istio's gateway would dial itself",
    )


def _named(source: PolicySource, field: str) -> str:
    location = source.rule.location(f"{source.path}.{field}")
    return f"DestinationRule {source.rule.qualified_name} ({location})"


class LateHello(NamedTuple):
    """
    A protocol of which the ClientHello is not the beginning.

    :ivar name: as its users write it.
    :ivar beginning: what comes first, in words.
    :ivar way_out: what its users can do, other than giving it a TCP port of its own.
    """

    name: str
    beginning: str
    way_out: str = ""


_GREETING: Final = "wait for the server's greeting first"
_BY_NUMBER: Final[Mapping[int, LateHello]] = {
    5432: LateHello(
        "PostgreSQL",
        "ask for TLS in plain text first",
        "clients from version 17 on begin with TLS if they set sslnegotiation=direct; for others, ",
    ),
    3306: LateHello("MySQL", _GREETING),
    1433: LateHello(
        "SQL Server", "send a PRELOGIN packet first", "clients that set Encrypt=Strict begin with TLS; for others, "
    ),
    25: LateHello("SMTP", _GREETING, "port 465 begins with TLS; otherwise, "),
    587: LateHello("SMTP", _GREETING, "port 465 begins with TLS; otherwise, "),
    143: LateHello("IMAP", _GREETING, "port 993 begins with TLS; otherwise, "),
    110: LateHello("POP3", _GREETING, "port 995 begins with TLS; otherwise, "),
    21: LateHello("FTP", _GREETING),
    389: LateHello("LDAP", "ask for TLS in plain text first", "port 636 begins with TLS; otherwise, "),
}
_BY_NAME: Final[Mapping[str, LateHello]] = {
    **dict.fromkeys(("postgres", "postgresql", "pgsql", "pg"), _BY_NUMBER[5432]),
    **dict.fromkeys(("mysql", "mariadb"), _BY_NUMBER[3306]),
    **dict.fromkeys(("mssql", "sqlserver"), _BY_NUMBER[1433]),
    **dict.fromkeys(("smtp", "submission"), _BY_NUMBER[25]),
    "imap": _BY_NUMBER[143],
    "pop3": _BY_NUMBER[110],
    "ftp": _BY_NUMBER[21],
    "ldap": _BY_NUMBER[389],
}


_BEGIN_WITH_TLS: Final = frozenset({"smtps", "imaps", "pop3s", "ftps", "ldaps"})
"""Names of ports whose clients begin with the ClientHello, whatever their number."""


def late_hello(port: CatalogPort) -> LateHello | None:
    """The protocol of a service's port, by its name or else its number, if its ClientHello comes late; else None."""
    words = port.name.lower().split("-")
    if not _BEGIN_WITH_TLS.isdisjoint(words):
        return None
    return next((_BY_NAME[word] for word in words if word in _BY_NAME), None) or _BY_NUMBER.get(port.number)
