"""
Notes on traffic policies: problems of settings that have no effect, since this gateway does not serve them, or since
they are set where Istio ignores them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from meshgate.resources.kinds.destinationrule import PolicySections, TrafficPolicy
from meshgate.resources.kinds.loadbalancer import ConsistentHash, LoadBalancer
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.tls import ClientTLSMode
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource
from meshgate.resources.wording import listing, verb
from meshgate.routing.compile.catalog import CatalogHost
from meshgate.routing.compile.catalog_port import CatalogPort
from meshgate.routing.compile.preference import traffic_distribution
from meshgate.routing.compile.traffic_policies import RULE_POLICY, PolicySource, balancing, hashes_source, wanted_size
from meshgate.routing.connection_policy import ConnectionPolicy, Outliers
from meshgate.routing.table import Endpoint

_BY_CLIENT: Final = "ClientIP"
"""The value of a Service's sessionAffinity that keeps a client at its endpoint."""

_BALANCING_NOT_SERVED: Final = {"zone_aware_lb_setting": "zoneAwareLbSetting"}
_HASH: Final = "loadBalancer.consistentHash"
_OF_LISTENER: Final = {"idle_timeout": "idleTimeout", "max_connection_duration": "maxConnectionDuration"}


def notes(policies: Iterable[PolicySource]) -> Iterator[Problem]:
    """
    The notes on the policies of one destination, whatever chain it is in.

    :param policies: as :func:`~meshgate.routing.compile.traffic_policies.policy_sources` gives them.
    """
    for source in policies:
        fields = list(_not_served(source.value))
        if fields:
            yield _note(
                source,
                fields[0],
                "MG2044",
                f"not served by this gateway yet: {listing(fields)}",
                f"connections are made without {verb(fields, 'it', 'them')}",
            )
        http = list(_for_http(source.value))
        if http:
            yield _note(
                source,
                http[0],
                "MG2083",
                f"{listing(http)} {verb(http, 'is', 'are')} for HTTP requests, which a layer 4 gateway does not see",
                "Istio's gateway makes nothing of it either for TCP and TLS passthrough",
            )
        yield from _misplaced(source)
        yield from _hashing(source)
        for index, port in enumerate(source.value.port_level_settings):
            port_source = PolicySource(source.rule, f"{source.path}.portLevelSettings[{index}]", port)
            yield from _misplaced(port_source)
            yield from _hashing(port_source)
            if hashes_source(port.load_balancer) and not hashes_source(source.value.load_balancer):
                yield _no_effect(port_source, f"{_HASH}.useSourceIp", ["useSourceIp"], "endpoints are chosen at random")


def never_out(source: PolicySource, policy: Outliers, endpoints: Sequence[Endpoint], name: str) -> Problem | None:
    """
    The note that outlier detection never leaves out an endpoint, since one would be too many; None if it may.

    :param name: of the destination, for the message.
    """
    if policy.most * len(endpoints) >= 100 or not endpoints or any(endpoint.dns for endpoint in endpoints):
        return None
    return _note(
        source,
        "outlierDetection",
        "MG2072",
        f"outlierDetection never leaves out an endpoint of {name}: one of {len(endpoints)} is more than the "
        f"{policy.most}% of maxEjectionPercent",
        f"nor does Istio; from {-(-100 // len(endpoints))} on, one may be left out",
    )


def unknown_site(
    host: CatalogHost, port: CatalogPort, endpoints: Sequence[Endpoint], sections: Mapping[str, PolicySource], name: str
) -> Problem | None:
    """
    The note that near endpoints are to be preferred, and that nobody knows where the gateway is; None if all endpoints
    are equally near.

    :param endpoints: of the destination.
    :param sections: of the policies for the destination, those that count.
    :param name: of the destination, for the message.
    """
    localities = port.localities_of(endpoints)
    zones = list(filter(None, localities))
    here = f"the endpoints in {listing(zones)}" if zones else "all endpoints"
    load_balancer, outliers = sections.get("load_balancer"), sections.get("outlier_detection")
    if len(endpoints) == 1:
        return None
    if load_balancer is not None and load_balancer.value.locality_lb_setting is not None:
        if len(localities) < 2:
            return None
        source, field = load_balancer, "loadBalancer.localityLbSetting"
        subject = f"localityLbSetting prefers the endpoints of {name} that are nearest to the gateway"
    else:
        path, value = traffic_distribution(host.source)
        if value:
            in_one_zone = len(zones) == len(localities) == 1 and "node" not in value.lower()
            subject = f"with trafficDistribution {value}, Istio's gateway prefers the endpoints that are nearest to it"
            return None if in_one_zone else _alike(host.source, path, subject, here)
        if outliers is None or len(zones) < 2:
            return None
        source, field = outliers, "outlierDetection"
        subject = f"with outlierDetection, Istio's gateway prefers the endpoints of {name} that are nearest to it"
    return _alike(source.rule, f"{source.path}.{field}", subject, here)


def unknown_node(source: Resource[Any]) -> Problem:
    """The note that a Service asks for the endpoints on the gateway's own node, which nobody knows."""
    subject = "with internalTrafficPolicy: Local, Istio's gateway goes to the endpoints on its own node alone"
    return _alike(source, "spec.internalTrafficPolicy", subject, "all endpoints", "gateway.node")


def _alike(source: Resource[Any], path: str, subject: str, here: str, setting: str = "gateway.locality") -> Problem:
    message = f"{subject}; here {here} get connections alike, since it is unknown where the gateway is"
    return source.problem(Severity.INFO, "MG2077", message, path=path, hint=f"set {setting} in the settings")


def affinity_ignored(
    source: Resource[Any], endpoints: Sequence[Endpoint], sections: Mapping[str, PolicySource]
) -> Problem | None:
    """
    The note that a Service asks for a client to stay at its endpoint, which means something to connections through
    kube-proxy only; None if it does not, or if a policy keeps clients at their endpoints.
    """
    load_balancer = sections.get("load_balancer")
    by_source = load_balancer is not None and hashes_source(load_balancer.value)
    asks = isinstance(source.spec, ServiceSpec) and source.spec.session_affinity == _BY_CLIENT
    if not asks or by_source or len(endpoints) == 1:
        return None
    return source.problem(
        Severity.INFO,
        "MG2081",
        f"sessionAffinity: {_BY_CLIENT} has no effect on connections through a gateway, which chooses endpoints itself",
        path="spec.sessionAffinity",
        hint="Istio ignores it without a word; loadBalancer.consistentHash.useSourceIp of a DestinationRule does it",
    )


def overruled(wanted: ConnectionPolicy, chosen: ConnectionPolicy) -> list[str]:
    """The fields in which the policy of a destination differs from the policy of its chain, and so has no effect."""
    differs = {
        "idleTimeout": wanted.idle not in (None, chosen.idle),
        "maxConnectionDuration": wanted.max_duration not in (None, chosen.max_duration),
        "useSourceIp": wanted.by_source and not chosen.by_source,
    }
    return [field for field, found in differs.items() if found]


def _not_served(policy: PolicySections) -> Iterator[str]:
    """The paths, within a policy, of settings that concern TCP and are not served yet."""
    if policy.load_balancer is not None:
        yield from (f"loadBalancer.{name}" for name in _balancing_not_served(policy.load_balancer))
    if policy.tls is not None and policy.tls.mode is ClientTLSMode.ISTIO_MUTUAL:
        yield "tls"
    if isinstance(policy, TrafficPolicy):
        for index, port in enumerate(policy.port_level_settings):
            yield from (f"portLevelSettings[{index}].{path}" for path in _not_served(port))


def _for_http(policy: PolicySections) -> Iterator[str]:
    """The paths, within a policy, of settings that are about HTTP alone."""
    if policy.connection_pool is not None and policy.connection_pool.http is not None:
        yield "connectionPool.http"
    if isinstance(policy, TrafficPolicy):
        if policy.retry_budget is not None:
            yield "retryBudget"
        for index, port in enumerate(policy.port_level_settings):
            yield from (f"portLevelSettings[{index}].{path}" for path in _for_http(port))


def _balancing_not_served(load_balancer: LoadBalancer) -> Iterator[str]:
    for field, name in _BALANCING_NOT_SERVED.items():
        setting = getattr(load_balancer, field)
        # A setting that is switched off asks for nothing.
        if setting is not None and getattr(setting, "enabled", None) is not False:
            yield name


def _misplaced(source: PolicySource) -> Iterator[Problem]:
    """The note on settings that Istio applies to the listener, so that they count only in the policy of the rule."""
    pool = source.value.connection_pool
    if source.path == RULE_POLICY or pool is None or pool.tcp is None:
        return
    fields = [name for field, name in _OF_LISTENER.items() if getattr(pool.tcp, field) is not None]
    if fields:
        field = f"connectionPool.tcp.{fields[0]}"
        yield _no_effect(source, field, fields, f"only the policy {RULE_POLICY} counts")


def _no_effect(source: PolicySource, field: str, names: Sequence[str], reason: str) -> Problem:
    hint = f"Istio ignores {verb(names, 'it', 'them')} here without a word"
    message = f"{listing(names)} {verb(names, 'has', 'have')} no effect here: {reason}"
    return _note(source, field, "MG2071", message, hint, Severity.WARNING)


def _hashing(source: PolicySource) -> Iterator[Problem]:
    """The notes on choosing endpoints by hash: by something that TCP does not have, or with too large a table."""
    load_balancer = source.value.load_balancer
    by_hash = load_balancer.consistent_hash if load_balancer is not None else None
    if by_hash is None:
        return
    if not by_hash.use_source_ip:
        key = _key(by_hash)
        yield _note(
            source,
            f"{_HASH}.{key}" if key else _HASH,
            "MG2068",
            f"{key or 'consistentHash'} means nothing over TCP: endpoints are chosen at random",
            "useSourceIp chooses by the client's address",
        )
    size, wanted = balancing(load_balancer).size, wanted_size(by_hash)
    if size < wanted:
        yield _note(
            source,
            _HASH,
            "MG2070",
            f"the table for choosing by hash gets {size} entries in place of {wanted}",
            "a larger one would only make the shares a little more even",
        )


def _key(by_hash: ConsistentHash) -> str:
    if by_hash.http_cookie is not None:
        return "httpCookie"
    if by_hash.http_query_parameter_name:
        return "httpQueryParameterName"
    return "httpHeaderName" if by_hash.http_header_name else ""


def _note(
    source: PolicySource, field: str, code: str, message: str, hint: str, severity: Severity = Severity.INFO
) -> Problem:
    """
    A note on a policy.

    :param field: the path within the policy.
    """
    return source.rule.problem(severity, code, message, path=f"{source.path}.{field}", hint=hint)
