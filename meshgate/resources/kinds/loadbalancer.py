"""The choice of an endpoint for each connection to a service (Istio, destination_rule.proto, LoadBalancerSettings)."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from meshgate.resources.fault import Fault, FieldPath, chain_rules
from meshgate.resources.kinds.localities import LocalityLbSetting, ZoneAwareLbSetting, failover_faults, locality_faults
from meshgate.resources.model import AnyDuration, Duration, Model, NonEmpty, Number, UInt64, by_number, refuse
from meshgate.resources.problem import Severity


class LoadBalancing(enum.StrEnum):
    """The algorithms by which an endpoint is chosen, in the order of protobuf's numbers."""

    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


class HTTPCookie(Model):
    """A cookie by whose value an endpoint is chosen."""

    name: NonEmpty = Field(description="its name")
    path: str = Field(default="", description="its path")
    ttl: AnyDuration | None = Field(default=None, description="how long it lives; unset where none is to be made")


class RingHash(Model):
    """Choice by a ring on which each endpoint has many points."""

    minimum_ring_size: UInt64 = Field(default=1024, description="how many points the ring has at least")


class Maglev(Model):
    """Choice by a table that Maglev's algorithm fills."""

    table_size: UInt64 = Field(default=0, description="entries of the table: a prime below 5000011, such as 65537")


class ConsistentHash(Model):
    """The same endpoint for the same client, as long as there are the same endpoints."""

    http_header_name: str = Field(default="", description="HTTP header to choose by; not for TCP")
    http_cookie: HTTPCookie | None = Field(default=None, description="cookie to choose by; not for TCP")
    use_source_ip: bool = Field(default=False, description="choose by the client's address")
    http_query_parameter_name: str = Field(default="", description="query parameter to choose by; not for TCP")
    ring_hash: RingHash | None = Field(default=None, description="choose by a ring, which is the default")
    maglev: Maglev | None = Field(default=None, description="choose by a table")
    minimum_ring_size: UInt64 = Field(default=0, description="deprecated: write ringHash")


def _positive(number: float) -> float:
    return number if number > 0 else refuse("MG1005", f"the number {number:g} is out of range", "above 0 is allowed")


class Warmup(Model):
    """A slow start of new endpoints."""

    duration: Duration = Field(description="how long an endpoint is new")
    minimum_percent: Annotated[Number, Field(ge=0, le=100)] = Field(
        default=10.0, description="its share at the beginning, in percent of its full share"
    )
    aggression: Annotated[Number, AfterValidator(_positive)] = Field(
        default=1.0, description="how fast the share grows: 1 is even, more is faster at first"
    )


class LoadBalancer(Model):
    """How an endpoint is chosen."""

    simple: Annotated[LoadBalancing, Field(strict=False), by_number(LoadBalancing)] = Field(
        default=LoadBalancing.UNSPECIFIED, description="unset is LEAST_REQUEST; LEAST_CONN is its old name"
    )
    consistent_hash: ConsistentHash | None = Field(
        default=None, description="the same endpoint for the same client, instead of simple"
    )
    locality_lb_setting: LocalityLbSetting | None = Field(default=None, description="preference of near endpoints")
    warmup_duration_secs: Duration | None = Field(default=None, description="deprecated: write warmup.duration")
    warmup: Warmup | None = Field(default=None, description="slow start, with ROUND_ROBIN and LEAST_REQUEST")
    zone_aware_lb_setting: ZoneAwareLbSetting | None = Field(
        default=None, description="preference of the own zone, instead of localityLbSetting; not served yet"
    )


#: Envoy's limit for the size of a Maglev table, which Istio checks.
TABLE_BOUND: Final = 5_000_011

_HASH_KEYS: Final = ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
_HASH_TABLES: Final = ("ring_hash", "maglev")
_WARMING: Final = (
    LoadBalancing.UNSPECIFIED,
    LoadBalancing.LEAST_CONN,
    LoadBalancing.ROUND_ROBIN,
    LoadBalancing.LEAST_REQUEST,
)


def load_balancer_faults(settings: LoadBalancer, path: FieldPath, ejects: bool) -> Iterator[Fault]:
    """
    The rules between the fields of a load balancer (Istio, validation.go, validateLoadBalancer).

    :param path: the path of the load balancer.
    :param ejects: True if the policy has outlier detection.
    """
    yield from chain_rules(
        _exclusive_faults(settings, ("simple", "consistent_hash"), path),
        _old_name_faults(settings, path),
        _old_warmup_faults(settings, path),
        _hash_faults(settings, path),
        _warmup_faults(settings, path),
        _preference_faults(settings, path),
        _locality_faults(settings, path, ejects),
        _zone_faults(settings, path, ejects),
    )


def _old_name_faults(settings: LoadBalancer, path: FieldPath) -> Iterator[Fault]:
    if settings.simple == LoadBalancing.LEAST_CONN:
        yield _deprecated(
            (*path, "simple"), "LEAST_CONN", "write LEAST_REQUEST, which is the same", points_at_key=False
        )


def _old_warmup_faults(settings: LoadBalancer, path: FieldPath) -> Iterator[Fault]:
    if settings.warmup_duration_secs:
        yield _deprecated((*path, "warmupDurationSecs"), "warmupDurationSecs", "write warmup: {duration: …}")


def _preference_faults(settings: LoadBalancer, path: FieldPath) -> Iterator[Fault]:
    if settings.locality_lb_setting and settings.zone_aware_lb_setting:
        yield Fault(
            (*path, "zoneAwareLbSetting"),
            "MG1071",
            "localityLbSetting and zoneAwareLbSetting exclude each other",
            "leave one of them out",
            points_at_key=True,
        )


def _locality_faults(settings: LoadBalancer, path: FieldPath, ejects: bool) -> Iterator[Fault]:
    if settings.locality_lb_setting:
        yield from locality_faults(settings.locality_lb_setting, (*path, "localityLbSetting"), ejects)


def _zone_faults(settings: LoadBalancer, path: FieldPath, ejects: bool) -> Iterator[Fault]:
    if settings.zone_aware_lb_setting:
        yield from failover_faults(settings.zone_aware_lb_setting, (*path, "zoneAwareLbSetting"), ejects)


def _hash_faults(settings: LoadBalancer, path: FieldPath) -> Iterator[Fault]:
    if settings.consistent_hash:
        path = (*path, "consistentHash")
        yield from chain_rules(
            _exclusive_faults(settings.consistent_hash, _HASH_KEYS, path),
            _exclusive_faults(settings.consistent_hash, _HASH_TABLES, path),
            _ring_faults(settings.consistent_hash, path),
            _table_faults(settings.consistent_hash, path),
        )


def _ring_faults(settings: ConsistentHash, path: FieldPath) -> Iterator[Fault]:
    if not settings.minimum_ring_size:
        return
    path = (*path, "minimumRingSize")
    yield _deprecated(path, "minimumRingSize", "write ringHash: {minimumRingSize: …}")
    if settings.ring_hash or settings.maglev:
        other = "ringHash" if settings.ring_hash else "maglev"
        message = f"minimumRingSize and {other} exclude each other"
        yield Fault(path, "MG1066", message, "leave minimumRingSize out", points_at_key=True)


def _table_faults(settings: ConsistentHash, path: FieldPath) -> Iterator[Fault]:
    if not settings.maglev:
        return
    size = settings.maglev.table_size
    path = (*path, "maglev", "tableSize")
    if not size:
        yield Fault(path, "MG1067", "maglev needs a tableSize", "65537 is usual")
    elif size >= TABLE_BOUND:
        yield Fault(
            path, "MG1067", f"the table's size {size} is out of range", f"a prime below {TABLE_BOUND}, such as 65537"
        )
    elif not is_prime(size):
        smaller = next(other for other in range(size - 1, 1, -1) if is_prime(other))
        yield Fault(path, "MG1067", f"the table's size {size} is not a prime number", f"{smaller} is one")


def is_prime(number: int) -> bool:
    """Return True if a number is prime; 1 counts as prime, as in Envoy's check."""
    if number < 4:
        return number > 0
    return number % 2 == 1 and all(number % factor for factor in range(3, math.isqrt(number) + 1, 2))


def _warmup_faults(settings: LoadBalancer, path: FieldPath) -> Iterator[Fault]:
    field = "warmup" if settings.warmup else "warmupDurationSecs"
    if not settings.warmup and not settings.warmup_duration_secs:
        return
    if settings.consistent_hash or settings.simple not in _WARMING:
        other = "consistentHash" if settings.consistent_hash else settings.simple
        yield Fault(
            (*path, field),
            "MG1068",
            f"{field} has no effect with {other}",
            "it is for ROUND_ROBIN and LEAST_REQUEST",
            Severity.WARNING,
            points_at_key=True,
        )


def _exclusive_faults(settings: Model, fields: tuple[str, ...], path: FieldPath) -> Iterator[Fault]:
    """Warn if several fields are set of which a cluster uses only one."""
    present = [field for field in fields if field in settings.model_fields_set]
    if len(present) > 1:
        aliases = [str(type(settings).model_fields[field].alias) for field in present]
        yield Fault(
            (*path, aliases[-2]),
            "MG1080",
            f"{' and '.join(aliases)} are set together, which the Kubernetes API server refuses; {aliases[-1]} counts",
            f"leave {aliases[-2]} out",
            Severity.WARNING,
            points_at_key=True,
        )


def _deprecated(path: FieldPath, name: str, hint: str, points_at_key: bool = True) -> Fault:
    return Fault(path, "MG1065", f"{name} is deprecated", hint, Severity.WARNING, points_at_key)
