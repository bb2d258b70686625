"""
One resource per kind, namespace and name: what happens when several documents write the same one.

Knows records only.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.steps import BATCH, run_through

def latest(resources: Iterable[Resource[Any]]) -> tuple[list[Resource[Any]], list[Problem]]:
    """
    The resources that count, and a warning for each that does not. As with ``kubectl apply``, the later one of
    the same kind, namespace and name wins: the later document of a file, the later file, the later provider.

    :param resources: in any order; the result does not depend on it.
    :return: both in the order of providers, files and documents.
    """
    found = Latest()
    run_through(found.update(tuple(resources)))
    return sorted(found.winners.values(), key=_place), found.problems()


class Latest:
    """
    What :func:`latest` gives, of one set of resources after the other: only what is new or gone is looked at.

    :ivar winners: the resources that count.
    """

    def __init__(self) -> None:
        self.winners: dict[ResourceKey, Resource[Any]] = {}
        # By identity, which nothing else can have as long as they are kept.
        self._given: dict[int, Resource[Any]] = {}
        self._doubled: dict[ResourceKey, list[Resource[Any]]] = {}

    def update(self, resources: tuple[Resource[Any], ...]) -> Generator[None, None, None]:
        """
        Take these in place of those given before, in steps. One that is given up has to be begun again.

        :param resources: in any order.
        """
        before = self._given
        given = dict(zip(map(id, resources), resources, strict=True))
        yield
        gone = [before[each] for each in before.keys() - given.keys()]
        yield
        come = [given[each] for each in given.keys() - before.keys()]
        yield
        # What is given up half-way is found out anew: nothing may be gone twice.
        winners, doubled = self.winners.copy(), self._doubled.copy()
        for number, resource in enumerate(gone, 1):
            rivals = doubled.pop(resource.key, [resource])
            _keep(resource.key, [each for each in rivals if each is not resource], winners, doubled)
            if number % BATCH == 0:
                yield
        for number, resource in enumerate(come, 1):
            known = winners.get(resource.key)
            rivals = doubled.pop(resource.key, [known] if known is not None else [])
            _keep(resource.key, [*rivals, resource], winners, doubled)
            if number % BATCH == 0:
                yield
        self.winners, self._doubled, self._given = winners, doubled, given

    def problems(self) -> list[Problem]:
        """A warning for each resource that does not count."""
        losers = [each for key, rivals in self._doubled.items() for each in rivals if each is not self.winners[key]]
        return [_overruled(loser, self.winners[loser.key]) for loser in sorted(losers, key=_place)]


def _keep(
    key: ResourceKey,
    rivals: list[Resource[Any]],
    winners: dict[ResourceKey, Resource[Any]],
    doubled: dict[ResourceKey, list[Resource[Any]]],
) -> None:
    if len(rivals) > 1:
        rivals.sort(key=_place)
        doubled[key] = rivals
    if rivals:
        winners[key] = rivals[-1]
    else:
        del winners[key]


def _place(resource: Resource[Any]) -> tuple[str, str, int, int, int]:
    origin = resource.origin
    return (origin.provider, origin.file, origin.document, origin.line, origin.column)


def _overruled(loser: Resource[Any], winner: Resource[Any]) -> Problem:
    return loser.problem(
        Severity.WARNING,
        "MG0007",
        f"{loser.key} at {loser.origin} is written again at {winner.origin}, and the later one counts",
        hint="remove one of them, or give it another name",
    )
