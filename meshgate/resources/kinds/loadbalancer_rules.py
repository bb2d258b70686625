"""The rules between the fields of a load balancer (Istio, validation.go, validateLoadBalancer)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from meshgate.resources.fault import Fault, Path, judged
from meshgate.resources.kinds.loadbalancer import ConsistentHash, LoadBalancer, LoadBalancing
from meshgate.resources.kinds.localities import failover_faults, locality_faults
from meshgate.resources.model import Model
from meshgate.resources.problem import Severity

#: Envoy's bound, as Istio has it.
TABLE_BOUND: Final = 5_000_011

_HASH_KEYS: Final = ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
_HASH_TABLES: Final = ("ring_hash", "maglev")
_WARMING: Final = (
    LoadBalancing.UNSPECIFIED,
    LoadBalancing.LEAST_CONN,
    LoadBalancing.ROUND_ROBIN,
    LoadBalancing.LEAST_REQUEST,
)


def load_balancer_faults(settings: LoadBalancer, path: Path, ejects: bool) -> Iterator[Fault]:
    """
    What is wrong with a load balancer.

    :param path: of the load balancer.
    :param ejects: there is outlier detection beside it.
    """
    yield from judged(
        _several(settings, ("simple", "consistent_hash"), path),
        _name_faults(settings, path),
        _hash_faults(settings, path),
        _warmup_faults(settings, path),
        _near_faults(settings, path),
        _locality_faults(settings, path, ejects),
        _zone_faults(settings, path, ejects),
    )


def _name_faults(settings: LoadBalancer, path: Path) -> Iterator[Fault]:
    if settings.simple == LoadBalancing.LEAST_CONN:
        yield _deprecated((*path, "simple"), "LEAST_CONN", "write LEAST_REQUEST, which is the same", at_key=False)
    if settings.warmup_duration_secs:
        yield _deprecated((*path, "warmupDurationSecs"), "warmupDurationSecs", "write warmup: {duration: …}")


def _near_faults(settings: LoadBalancer, path: Path) -> Iterator[Fault]:
    if settings.locality_lb_setting and settings.zone_aware_lb_setting:
        yield Fault(
            (*path, "zoneAwareLbSetting"),
            "MG1071",
            "localityLbSetting and zoneAwareLbSetting exclude each other",
            "leave one of them out",
            at_key=True,
        )


def _locality_faults(settings: LoadBalancer, path: Path, ejects: bool) -> Iterator[Fault]:
    if settings.locality_lb_setting:
        yield from locality_faults(settings.locality_lb_setting, (*path, "localityLbSetting"), ejects)


def _zone_faults(settings: LoadBalancer, path: Path, ejects: bool) -> Iterator[Fault]:
    if settings.zone_aware_lb_setting:
        yield from failover_faults(settings.zone_aware_lb_setting, (*path, "zoneAwareLbSetting"), ejects)


def _hash_faults(settings: LoadBalancer, path: Path) -> Iterator[Fault]:
    if settings.consistent_hash:
        place = (*path, "consistentHash")
        yield from judged(
            _several(settings.consistent_hash, _HASH_KEYS, place),
            _several(settings.consistent_hash, _HASH_TABLES, place),
            _ring_faults(settings.consistent_hash, place),
            _table_faults(settings.consistent_hash, place),
        )


def _ring_faults(settings: ConsistentHash, path: Path) -> Iterator[Fault]:
    if not settings.minimum_ring_size:
        return
    place = (*path, "minimumRingSize")
    yield _deprecated(place, "minimumRingSize", "write ringHash: {minimumRingSize: …}")
    if settings.ring_hash or settings.maglev:
        other = "ringHash" if settings.ring_hash else "maglev"
        message = f"minimumRingSize and {other} exclude each other"
        yield Fault(place, "MG1066", message, "leave minimumRingSize out", at_key=True)


def _table_faults(settings: ConsistentHash, path: Path) -> Iterator[Fault]:
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
    """Whether a number has no divisor but itself; 1 counts as prime, as in Envoy's check."""
    if number < 4:
        return number > 0
    return number % 2 == 1 and all(number % factor for factor in range(3, math.isqrt(number) + 1, 2))


def _warmup_faults(settings: LoadBalancer, path: Path) -> Iterator[Fault]:
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
            at_key=True,
        )


def _several(settings: Model, fields: tuple[str, ...], path: Path) -> Iterator[Fault]:
    """A warning where several of the fields are set of which a cluster takes one only."""
    written = [field for field in fields if field in settings.model_fields_set]
    if len(written) > 1:
        aliases = [str(type(settings).model_fields[field].alias) for field in written]
        yield Fault(
            (*path, aliases[-2]),
            "MG1080",
            f"{' and '.join(aliases)} are set together, which the Kubernetes API server refuses; {aliases[-1]} counts",
            f"leave {aliases[-2]} out",
            Severity.WARNING,
            at_key=True,
        )


def _deprecated(path: Path, name: str, hint: str, at_key: bool = True) -> Fault:
    return Fault(path, "MG1065", f"{name} is deprecated", hint, Severity.WARNING, at_key)
