"""
What of a traffic policy has no effect here: since this gateway does not do it, or since it stands where it cannot act.

Gives paths and sentences; says nothing to anybody itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from meshgate.resources.kinds.loadbalancer import ConsistentHash, LoadBalancer
from meshgate.resources.kinds.tls import ClientTLSMode
from meshgate.resources.kinds.trafficpolicy import PolicySections, TrafficPolicy
from meshgate.resources.problem import Problem, Severity
from meshgate.routing.compile.traffic_policies import RULE_POLICY, Written, balancing, hashes_source, wanted_size
from meshgate.routing.connection_policy import ConnectionPolicy, Outliers
from meshgate.routing.table import Endpoint

_NOT_SERVED: Final = {
    "tunnel": "tunnel",
    "proxy_protocol": "proxyProtocol",
}
_BALANCING_NOT_SERVED: Final = {
    "locality_lb_setting": "localityLbSetting",
    "zone_aware_lb_setting": "zoneAwareLbSetting",
    "warmup": "warmup",
    "warmup_duration_secs": "warmupDurationSecs",
}
_HASH: Final = "loadBalancer.consistentHash"
_OF_LISTENER: Final = {"idle_timeout": "idleTimeout", "max_connection_duration": "maxConnectionDuration"}


def notes(policies: Iterable[Written]) -> Iterator[Problem]:
    """
    What has no effect of the policies of one destination, whatever chain it is in.

    :param policies: the rule's and the subset's, as
        :func:`~meshgate.routing.compile.traffic_policies.written_policies` gives them.
    """
    for written in policies:
        fields = list(_not_served(written.value))
        if fields:
            yield _note(
                written,
                fields[0],
                "MG2044",
                f"not done by this gateway yet: {', '.join(fields)}",
                "its connections are made without it",
            )
        yield from _misplaced(written)
        yield from _hashing(written)
        for index, port in enumerate(written.value.port_level_settings):
            of_port = Written(written.rule, f"{written.path}.portLevelSettings[{index}]", port)
            yield from _misplaced(of_port)
            yield from _hashing(of_port)
            if hashes_source(port.load_balancer) and not hashes_source(written.value.load_balancer):
                yield _no_effect(of_port, f"{_HASH}.useSourceIp", "useSourceIp", "endpoints are chosen at random")


def never_out(written: Written, policy: Outliers, endpoints: Sequence[Endpoint], of: str) -> Problem | None:
    """That no endpoint of a destination is ever left out, since one would be too many; None where some may be."""
    if policy.most * len(endpoints) >= 100 or not endpoints or any(endpoint.dns for endpoint in endpoints):
        return None
    return _note(
        written,
        "outlierDetection",
        "MG2072",
        f"outlierDetection never leaves out an endpoint of {of}: one of {len(endpoints)} is more than the "
        f"{policy.most}% of maxEjectionPercent",
        f"nor does Istio's; from {-(-100 // len(endpoints))} on, one may be left out",
    )


def overruled(wanted: ConnectionPolicy, chosen: ConnectionPolicy) -> list[str]:
    """The fields that a destination's policies want otherwise than what counts for the chain."""
    vain = {
        "idleTimeout": wanted.idle not in (None, chosen.idle),
        "maxConnectionDuration": wanted.max_duration not in (None, chosen.max_duration),
        "useSourceIp": wanted.by_source and not chosen.by_source,
    }
    return [field for field, lost in vain.items() if lost]


def _not_served(policy: PolicySections) -> Iterator[str]:
    """The paths, within a policy, of what means something to TCP and is not done yet."""
    for name, written in _NOT_SERVED.items():
        if getattr(policy, name, None) is not None:
            yield written
    if policy.load_balancer is not None:
        yield from (f"loadBalancer.{written}" for written in _balancing_not_served(policy.load_balancer))
    if policy.tls is not None and policy.tls.mode is ClientTLSMode.ISTIO_MUTUAL:
        yield "tls"
    if isinstance(policy, TrafficPolicy):
        for index, port in enumerate(policy.port_level_settings):
            yield from (f"portLevelSettings[{index}].{path}" for path in _not_served(port))


def _balancing_not_served(load_balancer: LoadBalancer) -> Iterator[str]:
    for name, written in _BALANCING_NOT_SERVED.items():
        setting = getattr(load_balancer, name)
        # Switched off is what it is here.
        if setting is not None and getattr(setting, "enabled", None) is not False:
            yield written


def _misplaced(written: Written) -> Iterator[Problem]:
    """What is of a listener in Istio, and counts only in the policy of the whole rule."""
    pool = written.value.connection_pool
    if written.path == RULE_POLICY or pool is None or pool.tcp is None:
        return
    fields = [name for field, name in _OF_LISTENER.items() if getattr(pool.tcp, field) is not None]
    if fields:
        field = f"connectionPool.tcp.{fields[0]}"
        yield _no_effect(written, field, ", ".join(fields), f"only that of {RULE_POLICY} counts")


def _no_effect(written: Written, field: str, what: str, why: str) -> Problem:
    hint = "Istio ignores it here without a word"
    return _note(written, field, "MG2071", f"{what} has no effect here: {why}", hint, Severity.WARNING)


def _hashing(written: Written) -> Iterator[Problem]:
    load_balancer = written.value.load_balancer
    by_hash = load_balancer.consistent_hash if load_balancer is not None else None
    if by_hash is None:
        return
    if not by_hash.use_source_ip:
        key = _key(by_hash)
        yield _note(
            written,
            f"{_HASH}.{key}" if key else _HASH,
            "MG2068",
            f"{key or 'consistentHash'} is nothing to choose by over TCP: endpoints are chosen at random",
            "useSourceIp chooses by the client's address",
        )
    made, wanted = balancing(load_balancer).size, wanted_size(by_hash)
    if made < wanted:
        yield _note(
            written,
            _HASH,
            "MG2070",
            f"a table of {wanted} entries for choosing by hash is made with {made}",
            "a larger one would only make the shares a little more even",
        )


def _key(by_hash: ConsistentHash) -> str:
    if by_hash.http_cookie is not None:
        return "httpCookie"
    if by_hash.http_query_parameter_name:
        return "httpQueryParameterName"
    return "httpHeaderName" if by_hash.http_header_name else ""


def _note(
    written: Written, field: str, code: str, message: str, hint: str, severity: Severity = Severity.INFO
) -> Problem:
    """:param field: of the policy, from that on."""
    return written.rule.problem(severity, code, message, path=f"{written.path}.{field}", hint=hint)
