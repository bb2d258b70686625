"""
Balancing: choose a destination by weight, and order its endpoints for one connection.

The problem: a connection needs one endpoint at once, and another one only if that fails; weights have to hold exactly
over many connections, and choosing must stay cheap with thousands of endpoints.

The approach: a balancer gives a lazy order of all endpoints. Its first endpoint is drawn by the policy's algorithm,
over running sums of the weights (:class:`_Weights`), at the cost of a binary search; only the endpoints after a failed
one cost more. Least-request compares two random endpoints (Mitzenmacher, "The Power of Two Choices", 2001), as Envoy
does. Where some endpoints are to be tried last, each tier has a balancer of its own (:func:`tiered`); hashes instead
keep one table over all endpoints and pass over those of later tiers, so that no other client moves
(:class:`HashInTiers`).

New endpoints warm up: their share grows to the full one (:func:`warm_up`). An endpoint is new when it comes into the
table, or is back after an ejection. Its weight is the part ``(time / duration) ** (1 / aggression)`` of its own, and at
least the least part, as in Envoy (source/common/upstream/load_balancer_impl.cc, applySlowStartFactor). Weights are
worked out again every so often, and not for each connection.

Invariants: an order has each endpoint at most once. A balancer is pure: turns, chance, the time and the counts of
connections come in as arguments.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, chain
from math import gcd
from typing import Final, Protocol

from meshgate.routing.connection_policy import Algorithm, Balancing, Warmup
from meshgate.routing.endpoint_load import EndpointLoad, NoChoice
from meshgate.routing.hashing import Maglev, Ring, hash64
from meshgate.routing.table import Destination

_FINE: Final = 1000
"""The weight in a hash table of an endpoint that has one hundredth of all connections, where localities have shares."""


def choose_destination(destinations: Sequence[Destination], rng: random.Random) -> Destination | None:
    """
    Choose one destination by weight. A single destination is chosen whatever its weight; of several, those with weight
    0 never are.

    :return: None if there is no destination to choose.
    """
    if len(destinations) == 1:
        return destinations[0]
    weights = [destination.weight for destination in destinations]
    return rng.choices(destinations, weights)[0] if any(weights) else None


def shares(destinations: Sequence[Destination]) -> list[tuple[Destination, Fraction]]:
    """
    The shares in which :func:`choose_destination` spreads connections in the long run.

    :return: every destination that gets connections, with the fraction that it gets.
    """
    if len(destinations) == 1:
        return [(destinations[0], Fraction(1))]
    total = sum(destination.weight for destination in destinations)
    return [(each, Fraction(each.weight, total)) for each in destinations if each.weight]


class Balancer(Protocol):
    """Chooses among the endpoints of one destination."""

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """
        Order the endpoints as one connection tries them, each at most once.

        :param turn: the number of the connection among those to the destination, from 0.
        :param source: the client's address, which hashing algorithms hash; None to let them choose at random.
        """


def balancer(loads: Sequence[EndpointLoad], balancing: Balancing) -> Balancer:
    """
    Make the balancer that a policy asks for.

    :param loads: each endpoint once; the sequence is kept, not copied.
    """
    if len(loads) < 2:
        return NoChoice(loads)
    if balancing.shares and not hashes(balancing):
        return _InShares(loads, balancing)
    return _BALANCERS[balancing.algorithm](loads, balancing)


def tiered(tiers: Sequence[Sequence[EndpointLoad]], balancing: Balancing) -> Balancer:
    """
    Make the balancer that a policy asks for, if some endpoints are tried only after others.

    Within a tier the policy alone decides, so that the endpoints of the first tier share all connections by their
    weights. Hashing policies need :class:`HashInTiers` instead.

    :param tiers: each endpoint once; tiers may be empty.
    """
    filled = [tier for tier in tiers if tier]
    if len(filled) < 2:
        return balancer(filled[0] if filled else (), balancing)
    return _InTiers([balancer(tier, balancing) for tier in filled])


def hashes(balancing: Balancing) -> bool:
    """True if a policy gives a client the same endpoint each time."""
    return balancing.algorithm in (Algorithm.RING_HASH, Algorithm.MAGLEV)


class _Weights:
    """
    The weights of endpoints, from which an index is drawn in turn or at random.

    The weights lie one after the other on a line; a draw picks a point of the line, and a binary search finds the
    endpoint to which the point belongs.
    """

    def __init__(self, loads: Sequence[EndpointLoad]) -> None:
        divisor = gcd(*(load.weight for load in loads))
        self._weights = [load.weight // divisor for load in loads]
        self._bounds = list(accumulate(self._weights))
        self._total = total = self._bounds[-1]
        self._even = total == len(loads)
        # A step that has no divisor in common with the total meets every point once a round; the golden ratio mixes the
        # endpoints well.
        steps = range(max(1, round(total * 0.618)), 2 * total + 1)
        self._step = next(step for step in steps if gcd(step, total) == 1)

    def in_turn(self, turn: int) -> int:
        """Draw in turn: in as many turns as the weights add up to, each endpoint comes as often as its weight says."""
        if self._even:
            return turn % self._total
        return bisect_right(self._bounds, turn * self._step % self._total)

    def at_random(self, rng: random.Random) -> int:
        """Draw at random, each endpoint with the probability that its weight gives it."""
        point = int(rng.random() * self._total)
        return point if self._even else bisect_right(self._bounds, point)

    def at_random_without(self, some: Iterable[int], rng: random.Random) -> int:
        """
        Draw at random among the other endpoints.

        :param some: the indexes to leave out; not all of them.
        """
        weights, bounds, left, without = self._weights, self._bounds, self._total, sorted(some)
        for index in without:
            left -= weights[index]
        point = int(rng.random() * left)
        for index in without:
            if point >= bounds[index] - weights[index]:
                point += weights[index]
        return point if self._even else bisect_right(bounds, point)


class _RoundRobin:
    """One endpoint after the other, those of a greater weight more often; after a failure, the next in the list."""

    def __init__(self, loads: Sequence[EndpointLoad], balancing: Balancing) -> None:
        self._loads = loads
        self._weights = _Weights(loads)

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """Begin with the endpoint whose turn it is."""
        loads, first = self._loads, self._weights.in_turn(turn)
        return (loads[(first + step) % len(loads)] for step in range(len(loads)))


class _Random:
    """A random endpoint, in the shares of the weights."""

    def __init__(self, loads: Sequence[EndpointLoad], balancing: Balancing) -> None:
        self._loads = loads
        self._weights = _Weights(loads)

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """Draw each endpoint at random among those not tried yet."""
        tried: set[int] = set()
        while len(tried) < len(self._loads):
            index = self._draw(tried, rng)
            tried.add(index)
            yield self._loads[index]

    def _draw(self, tried: set[int], rng: random.Random) -> int:
        return self._weights.at_random_without(tried, rng) if tried else self._weights.at_random(rng)


class _LeastRequest(_Random):
    """
    The one of two random endpoints that has fewer connections for its weight.

    If both have as many, it is the first of them, so that without connections the shares are those of the weights.
    """

    def _draw(self, tried: set[int], rng: random.Random) -> int:
        first = super()._draw(tried, rng)
        one = self._loads[first]
        if not one.active or len(tried) + 1 == len(self._loads):
            return first
        second = self._weights.at_random_without((*tried, first), rng)
        other = self._loads[second]
        fewer = other.active * one.weight < one.active * other.weight
        return second if fewer else first


class _ConsistentHash:
    """The same endpoint for the same client; after a failure, the next one in the table."""

    def __init__(self, loads: Sequence[EndpointLoad], balancing: Balancing) -> None:
        # The table depends on the order of the endpoints; sorted by name, the same endpoints make the same table.
        loads = sorted(loads, key=lambda load: load.name)
        names = [load.name for load in loads]
        weights = _shared_weights(loads, balancing) if balancing.shares else [load.endpoint.weight for load in loads]
        self._loads = loads
        self._table: Ring | Maglev
        if balancing.algorithm is Algorithm.MAGLEV:
            self._table = Maglev(names, weights, balancing.size)
        else:
            self._table = Ring(names, weights, balancing.size)

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """Begin with the client's own endpoint."""
        key = rng.getrandbits(64) if source is None else hash64(source)
        return (self._loads[index] for index in self._table.walk(key))


class _InTiers:
    """Balancers of tiers, one after the other."""

    def __init__(self, balancers: Sequence[Balancer]) -> None:
        self._balancers = balancers

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """Order by the policy within each tier."""
        return chain.from_iterable(each.order(turn, source, rng) for each in self._balancers)


class _InShares:
    """
    The balancers of localities, of which each gets its share, whatever its number of endpoints.

    Localities come in turn, so that their shares hold exactly, and each has turns of its own.
    """

    def __init__(self, loads: Sequence[EndpointLoad], balancing: Balancing) -> None:
        shares = dict(balancing.shares)
        groups = [
            [load for load in loads if load.endpoint.locality == locality]
            for locality in dict.fromkeys(load.endpoint.locality for load in loads)
        ]
        each = replace(balancing, shares=())
        self._orders = [balancer(group, each) for group in groups]
        weights = [max(1, shares.get(group[0].endpoint.locality, 1)) for group in groups]
        divisor = gcd(*weights)
        self._counts = [weight // divisor for weight in weights]
        self._round, self._ranks = _mixed(self._counts)

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """Begin with the endpoints of the locality whose turn it is."""
        round_number, position = divmod(turn, len(self._round))
        first = self._round[position]
        yield from self._orders[first].order(round_number * self._counts[first] + self._ranks[position], source, rng)
        for index, others in enumerate(self._orders):
            if index != first:
                yield from others.order(turn, source, rng)


def _mixed(counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """
    Mix the turns of one round evenly.

    :param counts: the number of turns of each index.
    :return: the index of each turn, and how many turns of that index come before it.
    """
    every = ((index, count, nth) for index, count in enumerate(counts) for nth in range(count))
    turns = sorted((Fraction(2 * nth + 1, 2 * count), index, nth) for index, count, nth in every)
    return [index for _, index, _ in turns], [nth for _, _, nth in turns]


def _shared_weights(loads: Sequence[EndpointLoad], balancing: Balancing) -> list[int]:
    """The weights of endpoints in one table, such that each locality has its share of the table."""
    shares = dict(balancing.shares)
    totals: dict[str, int] = {}
    for load in loads:
        totals[load.endpoint.locality] = totals.get(load.endpoint.locality, 0) + load.endpoint.weight
    parts = [
        Fraction(shares.get(load.endpoint.locality, 1) * load.endpoint.weight, totals[load.endpoint.locality])
        for load in loads
    ]
    return [max(1, round(part * _FINE)) for part in parts]


class HashInTiers:
    """
    A hash over all endpoints that puts off those of later tiers to the end: only the clients whose own endpoint is put
    off move to another one.

    :param tiers: each endpoint once; tiers may be empty.
    :param untiered: the hash over all endpoints. It takes long to make, and does not depend on the tiers.
    """

    def __init__(self, tiers: Sequence[Sequence[EndpointLoad]], untiered: Balancer) -> None:
        self._last = len(tiers)
        self._tier_of = {load: tier for tier, loads in enumerate(tiers) for load in loads}
        self.untiered = untiered

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """Begin with the client's own endpoint, unless it belongs to a later tier."""
        later: list[list[EndpointLoad]] = [[] for _ in range(self._last)]
        for load in self.untiered.order(turn, source, rng):
            tier = self._tier_of[load]
            if tier:
                later[tier].append(load)
            else:
                yield load
        yield from chain.from_iterable(later)


_BALANCERS: Final[dict[Algorithm, Callable[[Sequence[EndpointLoad], Balancing], Balancer]]] = {
    Algorithm.LEAST_REQUEST: _LeastRequest,
    Algorithm.ROUND_ROBIN: _RoundRobin,
    Algorithm.RANDOM: _Random,
    Algorithm.RING_HASH: _ConsistentHash,
    Algorithm.MAGLEV: _ConsistentHash,
}


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
