"""
Preferences among the endpoints of a destination: levels of near and far ones, and the address families of DNS names.

Levels: endpoints get connections only as far as nearer ones cannot serve them. The problem: with locality preferences,
the endpoints of a destination have priorities, and a failing near locality must hand over as many connections as it has
lost endpoints, neither all at once nor none. The approach is Envoy's
(source/common/upstream/load_balancer_impl.cc): a level counts as fully available while 1 / 1.4 of its endpoints are
healthy, and what the first levels lack is given to the next ones. A level with fewer healthy endpoints than the panic
threshold uses all of them, but only if the levels together lack something.

Families: IPv4 is preferred until an IPv6 address of the same name answers while an IPv4 address stays silent. The name
then prefers IPv6 for ten minutes, and likewise the other way round (RFC 8305, section 4; RFC 6555, section 4.2, has the
ten minutes).

Invariants: the shares of the levels add up to 1 unless no endpoint at all may be used; an order has each endpoint of a
used level once, those whose last dial failed after all others. Pure: chance, turns and the time are arguments.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from meshgate.routing.endpoint_load import EndpointLoad

OVERPROVISIONING: Final = 1.4
"""The factor by which healthy endpoints are taken to cover for failed ones of their level (Envoy's default)."""

_UNIT: Final = 10
"""The unit of reduced shares, by which a percentage that is reduced stays a whole number near to it."""

Order = Callable[[int, "str | None", random.Random], Iterator[EndpointLoad]]
"""The order of a balancer: see :meth:`meshgate.routing.balance.Balancer.order`."""


class Level(NamedTuple):
    """
    The endpoints of one priority.

    :ivar share: of the connections, from 0 to 1.
    :ivar serving: the endpoints that may be used; all, in panic.
    """

    share: float
    serving: tuple[EndpointLoad, ...]


def available(healthy: int, total: int) -> float:
    """How much of its connections a set of endpoints can take, from 0 to 1."""
    return min(1.0, OVERPROVISIONING * healthy / total) if total else 0.0


def levels(loads: Sequence[EndpointLoad], healthy: Sequence[EndpointLoad], panic: int) -> list[Level]:
    """
    Divide endpoints into levels by their priorities, the first level first.

    :param loads: all endpoints.
    :param healthy: those of them that are not ejected.
    :param panic: the percentage of healthy endpoints of a level below which all of its endpoints are used; 0 for never.
    """
    if healthy is loads and not any(load.endpoint.priority for load in loads):
        return [Level(1.0, tuple(loads))]
    fine = set(healthy)
    found = [
        tuple(load for load in loads if load.endpoint.priority == priority)
        for priority in sorted({load.endpoint.priority for load in loads})
    ]
    left = [tuple(load for load in level if load in fine) for level in found]
    parts = [available(len(some), len(level)) for some, level in zip(left, found, strict=True)]
    total = min(1.0, sum(parts))
    panics = [total < 1 and 100 * len(some) < panic * len(level) for some, level in zip(left, found, strict=True)]
    if all(panics):
        return [Level(len(level) / len(loads), level) for level in found]
    if not total:
        # No level has a healthy endpoint, and not all are in panic: with a threshold of 0, none ever is.
        return [Level(1.0 if index == 0 else 0.0, ()) for index in range(len(found))]
    serving = [level if panicking else some for level, some, panicking in zip(found, left, panics, strict=True)]
    remaining, shares = 1.0, []
    for part in parts:
        shares.append(min(remaining, part / total))
        remaining -= shares[-1]
    return [Level(share, some) for share, some in zip(shares, serving, strict=True)]


def available_shares(
    loads: Sequence[EndpointLoad], serving: Sequence[EndpointLoad], shares: Sequence[tuple[str, int]]
) -> tuple[tuple[str, int], ...]:
    """
    Reduce the shares of localities by what their endpoints can take.

    :param loads: all endpoints.
    :param serving: those of them that may be used.
    :return: the shares in another unit; without those of localities that cannot take any.
    """
    totals = Counter(load.endpoint.locality for load in loads)
    left = Counter(load.endpoint.locality for load in serving)
    return tuple(
        (locality, max(1, round(_UNIT * weight * available(left[locality], totals[locality]))))
        for locality, weight in shares
        if left[locality]
    )


class InLevels:
    """
    The balancers of levels: one level is drawn by the shares, the others follow it in their order.

    Endpoints whose last dial failed come after those of all levels, since a client should not wait for one while
    another level answers.

    :param shares: of each level.
    :param orders: the order of each level's balancer.
    """

    def __init__(self, shares: Sequence[float], orders: Sequence[Order]) -> None:
        self._bounds = list(accumulate(shares))
        self._orders = orders

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """Draw a level, and begin with its endpoints."""
        first = self._draw(rng)
        later: list[EndpointLoad] = []
        for index in (first, *(other for other in range(len(self._orders)) if other != first)):
            for load in self._orders[index](turn, source, rng):
                if load.marked:
                    later.append(load)
                else:
                    yield load
        yield from later

    def _draw(self, rng: random.Random) -> int:
        if self._bounds[0] >= 1:
            return 0
        point = rng.random()
        return next((index for index, bound in enumerate(self._bounds) if point < bound), 0)


REMEMBERED: Final = 600.0
"""Seconds for which a name prefers the family that won."""

MOST_NAMES: Final = 4096
"""The number of names that are remembered; the oldest is dropped for a new one."""


class Families:
    """
    The preferred family of each name.

    :ivar changes: the number of calls of :meth:`prefer`, by which a caller sees that its preferences are old.
    """

    def __init__(self) -> None:
        self._won: dict[str, tuple[bool, float]] = {}
        self.changes = 0

    def prefer(self, name: str, ipv6: bool, now: float) -> None:
        """Prefer a family, because its address of a name has answered while the other family's stayed silent."""
        self._won.pop(name, None)
        self._won[name] = ipv6, now + REMEMBERED
        if len(self._won) > MOST_NAMES:
            del self._won[next(iter(self._won))]
        self.changes += 1

    def prefers_ipv6(self, name: str, now: float) -> bool:
        """True if a name prefers IPv6, False if IPv4."""
        ipv6, until = self._won.get(name, (False, 0.0))
        return ipv6 and now < until

    def until(self, name: str, now: float) -> float:
        """The time until which a name has its preference; infinity for the preference of IPv4 from the start."""
        _, until = self._won.get(name, (False, 0.0))
        return until if now < until else math.inf
