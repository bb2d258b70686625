"""
Choosing: one destination by weight, and the order in which its endpoints are tried.

Chance comes in as an argument; the only state kept is the position of each rotation.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction

from meshgate.routing.table import Destination, Endpoint


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


class Rotation:
    """
    Round robin over the endpoints of each destination, weighted where endpoints carry weights. The position
    outlives a change of the table, so that a reload does not send everybody to the first endpoint again.
    """

    def __init__(self) -> None:
        self._positions: dict[tuple[str, int, str], int] = {}

    def order(self, destination: Destination, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """
        All endpoints in the order to try them; the first one moves on with every call.

        :param endpoints: the destination's endpoints with their names resolved.
        """
        if len(endpoints) < 2:
            return list(endpoints)
        key = (destination.host, destination.port, destination.subset)
        position = self._positions.get(key, 0)
        self._positions[key] = position + 1
        point = position % sum(endpoint.weight for endpoint in endpoints)
        first = 0
        while point >= endpoints[first].weight:
            point -= endpoints[first].weight
            first += 1
        return [*endpoints[first:], *endpoints[:first]]

    def forget_all_but(self, destinations: Iterable[Destination]) -> None:
        """Drop the positions of destinations that no route has any more, so that they do not pile up over the years."""
        kept = {(destination.host, destination.port, destination.subset) for destination in destinations}
        self._positions = {key: position for key, position in self._positions.items() if key in kept}
