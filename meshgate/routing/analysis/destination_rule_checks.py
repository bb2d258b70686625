"""Checks of DestinationRules: do the hosts, endpoints and authorities exist that they refer to?"""

from __future__ import annotations

from collections.abc import Iterator

from meshgate.resources.kinds.destinationrule import DestinationRule
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.tls import ClientTLSSettings
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.routing.analysis.analysis_input import AnalysisInput, destinations_of
from meshgate.routing.compile.route_binding import in_mesh
from meshgate.routing.compile.selection import may_be_selected, may_select
from meshgate.routing.compile.traffic_policies import ORIGINATING
from meshgate.routing.hosts import covers, full_name, is_wildcard


def rules_of_unknown_hosts(given: AnalysisInput) -> Iterator[DestinationRule]:
    """The DestinationRules whose host is neither a Service's nor a ServiceEntry's."""
    for rule in given.rules:
        host = full_name(rule.spec.host, rule.namespace, given.proxy.domain_suffix)
        if is_wildcard(host):
            exists = any(covers(host, each.host) for each in given.catalog)
        else:
            exists = given.catalog.find(host) is not None
        if not (exists or given.catalog.is_of_istio(host)):
            yield rule


def unknown_hosts(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report DestinationRules whose host is unknown (destinationrule/subset.go).

    Many are for a host of a VirtualService, in place of the service to which that VirtualService routes.
    """
    routing = _routing(given) if given.rules else {}
    for rule in given.rules:
        host = full_name(rule.spec.host, rule.namespace, given.proxy.domain_suffix)
        virtual_service = routing.get(host)
        yield rule.problem(
            Severity.WARNING,
            "MG2058",
            f"the host {host} is unknown, so the DestinationRule applies to nothing",
            path="spec.host",
            hint=given.catalog.unknown_host_hint(host, rule.namespace)
            if virtual_service is None
            else _routed_host_hint(virtual_service, given),
        )


def _routing(given: AnalysisInput) -> dict[str, VirtualService]:
    """The oldest VirtualService for each host that VirtualServices of gateways are for."""
    routing: dict[str, VirtualService] = {}
    for virtual_service in given.virtual_services:
        for host in () if in_mesh(virtual_service) else virtual_service.spec.hosts:
            routing.setdefault(full_name(host, virtual_service.namespace, given.proxy.domain_suffix), virtual_service)
    return routing


def _routed_host_hint(virtual_service: VirtualService, given: AnalysisInput) -> str:
    names = (each.destination.host for each in destinations_of(virtual_service))
    services = [full_name(name, virtual_service.namespace, given.proxy.domain_suffix) for name in names]
    found = ", ".join(list(dict.fromkeys(services))[:3])
    where = f"VirtualService {virtual_service.qualified_name} ({virtual_service.location('spec.hosts')})"
    return f"it is a host of {where}; write the service to which that routes" + (f": {found}" if found else "")


def idle_subsets(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report subsets that select no endpoint of their host (destinationrule/subset.go).

    It is an error only where endpoints or Pods are given: another template of Pods may stand elsewhere.
    """
    for rule in given.rules:
        host = given.catalog.find(full_name(rule.spec.host, rule.namespace, given.proxy.domain_suffix))
        if host is None or not rule.spec.subsets:
            continue
        ports = host.ports.values()
        pods = [pod for port in ports for pod in port.pods]
        if isinstance(host.source.spec, ServiceSpec):
            pods += given.catalog.pods_of(host.source)
        labels = [each for port in ports for each in port.labels]
        certain = bool(labels) or any(each.kind == "Pod" for each in pods)
        for index, subset in enumerate(rule.spec.subsets):
            of_endpoint = any(each is None or may_be_selected(subset.labels, each) for each in labels)
            if subset.labels and not of_endpoint and not any(may_select(subset.labels, each) for each in pods):
                wanted = ",".join(f"{key}={value}" for key, value in sorted(subset.labels.items()))
                yield rule.problem(
                    Severity.ERROR if certain else Severity.WARNING,
                    "MG2057",
                    f"the subset {subset.name} selects nothing: no endpoint of {host.host} is labeled {wanted}",
                    path=f"spec.subsets[{index}].labels",
                    hint="connections for it are closed" if labels or pods else f"{host.host} has no endpoint at all",
                )


def unverified_servers(given: AnalysisInput) -> Iterator[Problem]:
    """Report TLS to servers whose certificates are not verified (destinationrule/ca-certificates.go)."""
    for rule in given.rules:
        policy = rule.spec.traffic_policy
        if policy is None:
            continue
        if _unverified(rule, policy.tls):
            yield _no_authorities(rule, "MG2059", "spec.trafficPolicy.tls", "")
        for index, port in enumerate(policy.port_level_settings):
            if _unverified(rule, port.tls):
                path = f"spec.trafficPolicy.portLevelSettings[{index}].tls"
                number = port.port.number
                yield _no_authorities(rule, "MG2060", path, f" at port {number}" if number else "")


def _unverified(rule: DestinationRule, tls: ClientTLSSettings | None) -> bool:
    if tls is None or tls.mode not in ORIGINATING or tls.ca_certificates:
        return False
    # A Secret may hold the authorities; Istio reads it only for the proxies that a workloadSelector selects.
    return not (tls.credential_name and rule.spec.workload_selector is not None)


def _no_authorities(rule: DestinationRule, code: str, path: str, where: str) -> Problem:
    return rule.problem(
        Severity.WARNING,
        code,
        f"no caCertificates are given to verify the certificate of {rule.spec.host}{where}",
        path=path,
        hint="name the file with the certificates of its authorities",
    )
