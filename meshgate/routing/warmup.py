"""
Warm-up: new endpoints get a share that grows to their full one.

An endpoint is new when it comes into the table, or is back after an ejection. Its weight is the part
``(time / duration) ** (1 / aggression)`` of its own, and at least the least part, as in Envoy
(source/common/upstream/load_balancer_impl.cc, applySlowStartFactor). Weights are worked out again every so often, and
not for each connection. Pure: the time is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from meshgate.routing.connection_policy import Warmup
from meshgate.routing.endpoint_load import EndpointLoad

_FULL: Final = 100
"""The weight, while an endpoint warms up, of one whose weight is 1."""

_STEPS: Final = 50
"""How often the weights change during a warm-up, but no more often than every second."""


def warm_up(loads: Sequence[EndpointLoad], warmup: Warmup | None, now: float) -> float:
    """
    Set the weights of endpoints as they are now.

    :param now: the clock's seconds.
    :return: the time at which they have to be set again; infinite if all endpoints have their full weight.
    """
    new = [] if warmup is None else [load for load in loads if now - load.added < warmup.duration]
    if warmup is None or not new:
        for load in loads:
            load.weight = load.endpoint.weight
        return math.inf
    for load in loads:
        load.weight = max(1, round(_FULL * load.endpoint.weight * part(warmup, now - load.added)))
    last = max(load.added for load in new) + warmup.duration
    return min(now + max(1.0, warmup.duration / _STEPS), last)


def part(warmup: Warmup, age: float) -> float:
    """
    The part of its full weight that an endpoint has.

    :param age: seconds since it is there.
    """
    if age >= warmup.duration:
        return 1.0
    # Envoy counts from one second on, since nothing has a power of zero.
    grown: float = (max(1.0, age) / warmup.duration) ** (1 / warmup.aggression)
    return min(1.0, max(warmup.least, grown))
