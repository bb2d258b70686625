"""Traffic policies and access lists as text for people, and traffic policies as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from meshgate.resources.durations import format_duration
from meshgate.resources.wording import count_of
from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.addresses import address
from meshgate.routing.connection_policy import (
    Algorithm,
    Balancing,
    ConnectionPolicy,
    HealthCheck,
    Keepalive,
    Outliers,
    UpstreamPolicy,
)
from meshgate.routing.table import Endpoint

_CHOICES: Final = {
    Algorithm.LEAST_REQUEST: "the one of two with fewer connections",
    Algorithm.ROUND_ROBIN: "each in turn",
    Algorithm.RANDOM: "any at random",
    Algorithm.RING_HASH: "by a hash ring of {size} points",
    Algorithm.MAGLEV: "by a Maglev table of {size} entries",
}


def upstream_text(policy: UpstreamPolicy) -> str:
    """Describe in one line how connections to a destination are made."""
    return "; ".join(_upstream(policy))


def connection_text(policy: ConnectionPolicy) -> str:
    """Describe in one line how the connections of a chain are treated; empty without a policy."""
    return "; ".join(_connection(policy))


def upstream_json(policy: UpstreamPolicy) -> dict[str, Any]:
    """Plain values; None where the gateway's settings or the system decide, or where there is no limit."""
    keepalive = policy.keepalive
    return {
        "balancing": policy.balancing.algorithm.value,
        "table_size": policy.balancing.size or None,
        "localities": dict(policy.balancing.shares) or None,
        "warmup": None if policy.balancing.warmup is None else asdict(policy.balancing.warmup),
        "connect_timeout": policy.connect_timeout,
        "max_connections": policy.max_connections,
        "bandwidth": policy.bandwidth or None,
        "keepalive": None
        if keepalive is None
        else {name: getattr(keepalive, name) or None for name in ("probes", "time", "interval")},
        "outliers": None if policy.outliers is None else asdict(policy.outliers),
        "proxy_protocol": None if policy.header is None else asdict(policy.header),
        "check": None if policy.check is None else _check_values(policy.check),
        "origin": policy.origin or None,
    }


def connection_json(policy: ConnectionPolicy) -> dict[str, Any]:
    """Plain values as of :func:`upstream_json`; an idle time of 0 is no limit."""
    return {
        "idle": policy.idle,
        "max_duration": policy.max_duration,
        "by_source": policy.by_source,
        "origin": policy.origin or None,
    }


def endpoint_text(endpoint: Endpoint) -> str:
    """An endpoint, with its locality where that decides."""
    return f"{endpoint} ({endpoint.locality})" if endpoint.locality else str(endpoint)


def _upstream(policy: UpstreamPolicy) -> Iterator[str]:
    yield _balancing(policy.balancing)
    if policy.connect_timeout is not None:
        yield f"{format_duration(policy.connect_timeout)} to connect"
    if policy.max_connections is not None:
        yield f"{policy.max_connections} connection{'' if policy.max_connections == 1 else 's'} at the most"
    if policy.bandwidth:
        yield f"{_bandwidth(policy.bandwidth)} each way, all connections together"
    if policy.keepalive is not None:
        yield _keepalive(policy.keepalive)
    if policy.outliers is not None:
        yield _outliers(policy.outliers)
    if policy.header is not None:
        yield str(policy.header)
    if policy.check is not None:
        yield check_text(policy.check)


def _balancing(balancing: Balancing) -> str:
    text = f"endpoints by {balancing.algorithm.value}, {_CHOICES[balancing.algorithm].format(size=balancing.size)}"
    if balancing.shares:
        text += f"; localities by weight: {', '.join(f'{weight} {name}' for name, weight in balancing.shares)}"
    if balancing.warmup is not None:
        warmup = balancing.warmup
        text += f"; new ones warm up for {format_duration(warmup.duration)} from {warmup.least:.0%} on"
    return text


def _bandwidth(rate: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if not rate % size:
            return f"{rate // size}{unit}/s"
    return f"{rate >> 10}KiB/s"


def _keepalive(keepalive: Keepalive) -> str:
    clauses = [f"after {keepalive.time}s"] if keepalive.time else []
    clauses += [f"every {keepalive.interval}s"] if keepalive.interval else []
    clauses += [f"{keepalive.probes} times"] if keepalive.probes else []
    return f"probes {' '.join(clauses) or 'as the system has them'}"


def _outliers(outliers: Outliers) -> str:
    seconds = format_duration(outliers.base)
    left = f", while {outliers.panic}% are left" if outliers.panic else ""
    failures = "a failure" if outliers.failures == 1 else f"{outliers.failures} failures in a row"
    return f"left out for {seconds} after {failures}, {outliers.most}% at the most{left}"


def check_text(check: HealthCheck) -> str:
    """Describe a health check, and what it decides."""
    what = {"tcp": "a connection", "tls": "a TLS handshake"}.get(check.protocol, f"GET {check.path}")
    clauses = [f"checked by {what}" + (" over TLS" if check.protocol == "https" else "")]
    clauses += [f"to port {check.port}"] if check.port else []
    clauses += [f"as {check.name}"] if check.name else []
    clauses.append(f"every {format_duration(check.interval)}")
    ends = ", which ends its connections" if check.ends else ""
    return f"{' '.join(clauses)}; unhealthy after {count_of(check.fall, 'failure')} in a row{ends}"


def _check_values(check: HealthCheck) -> dict[str, Any]:
    texts = {name: getattr(check, name).decode(errors="backslashreplace") for name in ("send", "expect")}
    return {**asdict(check), **texts}


def _connection(policy: ConnectionPolicy) -> Iterator[str]:
    if policy.idle is not None:
        yield f"closed after {format_duration(policy.idle)} of silence" if policy.idle else "never closed for silence"
    if policy.max_duration is not None:
        yield f"closed after {format_duration(policy.max_duration)} in any case"
    if policy.by_source:
        yield "hashed by the client's address"


def access_step(entries: AccessEntries | None, source: str) -> tuple[bool, list[str]]:
    """
    Judge a client by an access list.

    :param entries: the list; None for none.
    :param source: the client's IP address; empty if it is not given.
    :return: True if the client may connect, and a sentence if there is a list.
    """
    if entries is None or not (entries.allow or entries.deny):
        return True, []
    if not source:
        return True, [f"{entries.source} may refuse it by its address, which is not given"]
    admitted, why = entries.verdict(address(source))
    if admitted:
        return True, [f"{source} may connect: {why}"]
    if entries.dry_run:
        return True, [f"{source} would be refused if this were no dry run: {why}"]
    return False, [f"{source} may not connect: {why}, so it ends as denied"]
