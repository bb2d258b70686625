"""
The health check of a destination: of its DestinationRule, else of its Service or ServiceEntry, else of the settings.

The first of them that has a check for the destination's port counts as a whole; nothing is merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from meshgate.resources.kinds.destinationrule import DestinationRule
from meshgate.resources.kinds.health_check import ANNOTATION, HealthCheckForm, checks_in, read_bytes
from meshgate.routing.compile.catalog import CatalogHost
from meshgate.routing.compile.destination_rules import MergedRule
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.connection_policy import HealthCheck, UpstreamPolicy
from meshgate.routing.hosts import most_specific


def health_check(
    found: CatalogHost, number: int, rule: MergedRule | None, proxy: Proxy
) -> tuple[HealthCheck, str] | None:
    """
    The check for the endpoints of a port of a host, and its origin as text for people; None without one.

    :param rule: the rule that the gateway follows for the host.
    """
    for forms, origin in _sources(found, rule, proxy):
        for form in forms:
            if not form.service_ports or number in form.service_ports:
                return as_record(form), origin
    return None


def _sources(
    found: CatalogHost, rule: MergedRule | None, proxy: Proxy
) -> Iterator[tuple[Iterable[HealthCheckForm], str]]:
    """The checks, from those that count first; each with its origin."""
    for owner in (*(rule.rules if rule is not None else ()), found.source, *found.others):
        if ANNOTATION in owner.annotations:
            yield checks_in(owner.annotations), f"{owner.kind} {owner.qualified_name} {ANNOTATION}"
    host = most_specific(found.host, proxy.checks) if proxy.checks else None
    if host is not None:
        yield proxy.checks[host], f"health.checks of the settings for {host}"


def checked_by(rule: MergedRule) -> list[DestinationRule]:
    """The rules among those for one host that have a check."""
    return [each for each in rule.rules if ANNOTATION in each.annotations]


def with_check(policy: UpstreamPolicy, check: tuple[HealthCheck, str] | None) -> UpstreamPolicy:
    """A policy, with a check and its origin."""
    if check is None:
        return policy
    origin = " and ".join(filter(None, (policy.origin, check[1])))
    return replace(policy, check=check[0], origin=origin)


def as_record(form: HealthCheckForm) -> HealthCheck:
    """The record of the routing table for a check."""
    first, _, last = form.status.partition("-")
    return HealthCheck(
        protocol=form.protocol,
        port=form.port,
        name=form.name,
        path=form.path,
        status=(int(first), int(last or first)),
        send=read_bytes(form.send),
        expect=read_bytes(form.expect),
        interval=form.interval,
        jitter=form.jitter,
        timeout=form.timeout,
        rise=form.rise,
        fall=form.fall,
        ends=form.on_unhealthy == "end",
        panic=form.panic_threshold,
    )
