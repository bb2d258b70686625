"""
Choosing: one destination by weight, and the order in which its endpoints are tried.

Pure: chance, turns and the counts of connections come in from outside. To choose costs no more than the logarithm of
the number of endpoints; only for an endpoint after one that failed is more done.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, chain
from math import gcd
from typing import Final, Protocol

from meshgate.routing.connection_policy import Algorithm, Balancing
from meshgate.routing.endpoint_load import EndpointLoad, NoChoice
from meshgate.routing.hashing import Maglev, Ring, hash64
from meshgate.routing.table import Destination


def choose_destination(destinations: Sequence[Destination], rng: random.Random) -> Destination | None:
    """
    One destination, by weight. A single one is taken whatever its weight; of several, those with weight 0 never.

    :return: None when there is nothing to choose from.
    """
    if len(destinations) == 1:
        return destinations[0]
    weights = [destination.weight for destination in destinations]
    return rng.choices(destinations, weights)[0] if any(weights) else None


def shares(destinations: Sequence[Destination]) -> list[tuple[Destination, Fraction]]:
    """
    What :func:`choose_destination` comes to in the long run.

    :return: every destination that gets connections, and which part of them.
    """
    if len(destinations) == 1:
        return [(destinations[0], Fraction(1))]
    total = sum(destination.weight for destination in destinations)
    return [(each, Fraction(each.weight, total)) for each in destinations if each.weight]


class Balancer(Protocol):
    """Chooses among the endpoints of one destination."""

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """
        The endpoints in the order in which one connection tries them, each once at the most.

        :param turn: counts the connections of the destination from 0.
        :param source: what to hash, which is the client's address; None for chance instead.
        """


def balancer(loads: Sequence[EndpointLoad], balancing: Balancing) -> Balancer:
    """
    The balancer that a policy asks for.

    :param loads: each endpoint once, kept and not copied.
    """
    if len(loads) < 2:
        return NoChoice(loads)
    return _BALANCERS[balancing.algorithm](loads, balancing)


def tiered(tiers: Sequence[Sequence[EndpointLoad]], balancing: Balancing) -> Balancer:
    """
    The balancer that a policy asks for, where some endpoints are tried only after others.

    Within a tier the policy decides alone, so that those of the first share all connections by their weights. For a
    policy that hashes there is :class:`HashInTiers`.

    :param tiers: each endpoint once; empty tiers do not matter.
    """
    filled = [tier for tier in tiers if tier]
    if len(filled) < 2:
        return balancer(filled[0] if filled else (), balancing)
    return _InTiers([balancer(tier, balancing) for tier in filled])


def hashes(balancing: Balancing) -> bool:
    """Whether a policy gives a client the same endpoint each time."""
    return balancing.algorithm in (Algorithm.RING_HASH, Algorithm.MAGLEV)


class _Shares:
    """Weights, by which endpoints are chosen in turn or at random."""

    def __init__(self, loads: Sequence[EndpointLoad]) -> None:
        divisor = gcd(*(load.endpoint.weight for load in loads))
        self._weights = [load.endpoint.weight // divisor for load in loads]
        self._bounds = list(accumulate(self._weights))
        self._total = total = self._bounds[-1]
        self._even = total == len(loads)
        # A step without a common divisor meets every point once a round, and one of this length mixes them well.
        steps = range(max(1, round(total * 0.618)), 2 * total + 1)
        self._step = next(step for step in steps if gcd(step, total) == 1)

    def in_turn(self, turn: int) -> int:
        """Over as many turns as the weights add up to, each endpoint comes as often as its weight says."""
        if self._even:
            return turn % self._total
        return bisect_right(self._bounds, turn * self._step % self._total)

    def at_random(self, rng: random.Random) -> int:
        """Each with the probability that its weight says."""
        point = int(rng.random() * self._total)
        return point if self._even else bisect_right(self._bounds, point)

    def at_random_without(self, some: Iterable[int], rng: random.Random) -> int:
        """
        As :meth:`at_random`, among the others.

        :param some: not all of them.
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
    """One after the other, those of a greater weight more often; after a failure, the next in the list."""

    def __init__(self, loads: Sequence[EndpointLoad], balancing: Balancing) -> None:
        self._loads = loads
        self._shares = _Shares(loads)

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """From the one whose turn it is on."""
        loads, first = self._loads, self._shares.in_turn(turn)
        return (loads[(first + step) % len(loads)] for step in range(len(loads)))


class _Random:
    """By chance, in the shares of the weights."""

    def __init__(self, loads: Sequence[EndpointLoad], balancing: Balancing) -> None:
        self._loads = loads
        self._shares = _Shares(loads)

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """By chance each time, among those that were not tried."""
        tried: set[int] = set()
        while len(tried) < len(self._loads):
            index = self._draw(tried, rng)
            tried.add(index)
            yield self._loads[index]

    def _draw(self, tried: set[int], rng: random.Random) -> int:
        return self._shares.at_random_without(tried, rng) if tried else self._shares.at_random(rng)


class _LeastRequest(_Random):
    """
    Of two by chance, the one with fewer connections for its weight; the first of them where both have as many, so that
    without connections the shares are those of the weights.
    """

    def _draw(self, tried: set[int], rng: random.Random) -> int:
        first = super()._draw(tried, rng)
        one = self._loads[first]
        if not one.active or len(tried) + 1 == len(self._loads):
            return first
        second = self._shares.at_random_without((*tried, first), rng)
        other = self._loads[second]
        fewer = other.active * one.endpoint.weight < one.active * other.endpoint.weight
        return second if fewer else first


class _ConsistentHash:
    """The same endpoint for the same client; after a failure, the one that stands next in the table."""

    def __init__(self, loads: Sequence[EndpointLoad], balancing: Balancing) -> None:
        # A table depends on the order of its owners: in that of their names it is the same in whatever order they come.
        loads = sorted(loads, key=lambda load: load.name)
        names = [load.name for load in loads]
        weights = [load.endpoint.weight for load in loads]
        self._loads = loads
        self._table: Ring | Maglev
        if balancing.algorithm is Algorithm.MAGLEV:
            self._table = Maglev(names, weights, balancing.size)
        else:
            self._table = Ring(names, weights, balancing.size)

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """From the client's own on."""
        key = rng.getrandbits(64) if source is None else hash64(source)
        return (self._loads[index] for index in self._table.walk(key))


class _InTiers:
    """One balancer after the other."""

    def __init__(self, balancers: Sequence[Balancer]) -> None:
        self._balancers = balancers

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """By the policy in each tier."""
        return chain.from_iterable(each.order(turn, source, rng) for each in self._balancers)


class HashInTiers:
    """
    A hash over all endpoints, those of later tiers passed over until the end: no client moves but those whose own
    endpoint is passed over.

    :param tiers: each endpoint once; where the first is empty, the policy's order stays as far as it can.
    :param untiered: the hash that passes over none. It takes long to make, and does not depend on the tiers.
    """

    def __init__(self, tiers: Sequence[Sequence[EndpointLoad]], untiered: Balancer) -> None:
        self._last = len(tiers)
        self._tier_of = {load: tier for tier, loads in enumerate(tiers) for load in loads}
        self.untiered = untiered

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """From the client's own on."""
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
