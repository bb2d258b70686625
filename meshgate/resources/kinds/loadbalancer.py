"""How connections are spread over the endpoints of a service (Istio, destination_rule.proto, LoadBalancerSettings)."""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import core_schema

from meshgate.resources.fieldtypes import AnyDuration, Duration, Number, UInt64, by_number
from meshgate.resources.model import FrozenMapping, Items, Model, NonEmpty, UInt32, refuse, whole_number


class LoadBalancing(enum.StrEnum):
    """How an endpoint is chosen, in the order of protobuf's numbers."""

    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


class HTTPCookie(Model):
    """A cookie to choose by."""

    name: NonEmpty = Field(description="its name")
    path: str = Field(default="", description="its path")
    ttl: AnyDuration | None = Field(default=None, description="how long it lives; unset where none is to be made")


class RingHash(Model):
    """Choice by a ring on which each endpoint has many places."""

    minimum_ring_size: UInt64 = Field(default=1024, description="how many places there are at least")


class Maglev(Model):
    """Choice by a table as Maglev has it."""

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


class LocalityWeights(FrozenMapping[int]):
    """Percentages by locality."""

    __slots__ = ()

    value_schema = core_schema.no_info_before_validator_function(
        whole_number, core_schema.int_schema(strict=True, ge=1, le=100)
    )


def _complete(weights: LocalityWeights) -> LocalityWeights:
    total = sum(weights.values())
    if total != 100:
        refuse("MG1070", f"the percentages add up to {total}, not to 100", "change them so that their sum is 100")
    return weights


class Distribute(Model):
    """Where the connections from one locality go."""

    source: str = Field(default="", alias="from", description="locality they come from, as region/zone/subzone")
    to: Annotated[LocalityWeights, AfterValidator(_complete)] = Field(description="percent by locality, 100 in all")


class Failover(Model):
    """Where the connections of one region go when it fails."""

    source: str = Field(default="", alias="from", description="region that fails")
    to: str = Field(default="", description="region to go to")


class LocalityLbSetting(Model):
    """Preference of near endpoints, by percentages or in steps."""

    distribute: Items[Distribute] = Field(default=(), description="percentages by locality")
    failover: Items[Failover] = Field(default=(), description="which region stands in for which")
    failover_priority: Items[str] = Field(
        default=(), description="labels that near endpoints share with the gateway, the most important first"
    )
    enabled: bool | None = Field(default=None, description="unset for as the mesh has it, which is on")


class ZoneAwareLbSetting(Model):
    """Preference of the own zone, as far as its endpoints can take it."""

    enabled: bool | None = Field(default=None, description="unset for as the mesh has it")
    failover: Items[Failover] = Field(default=(), description="which region stands in for which")
    failover_priority: Items[str] = Field(
        default=(), description="labels that near endpoints share with the gateway, the most important first"
    )
    min_cluster_size: UInt32 | None = Field(default=None, description="endpoints that there must be; 6 if unset")


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
        default=None, description="preference of the own zone, instead of localityLbSetting"
    )
