"""
One resource per kind, namespace and name: what happens when several documents write the same one.

Knows records only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey


def latest(resources: Iterable[Resource[Any]]) -> tuple[list[Resource[Any]], list[Problem]]:
    """
    The resources that count, and a warning for each that does not. As with ``kubectl apply``, the later one of
    the same kind, namespace and name wins: the later document of a file, the later file, the later provider.

    :param resources: in any order; the result does not depend on it.
    :return: both in the order of providers, files and documents.
    """
    found = LatestResources()
    found.update(tuple(resources))
    return sorted(found.winners.values(), key=_place), found.problems()


@dataclass(slots=True)
class ResourceChange:
    """
    How one set of resources differs from the one before.

    :ivar gone: what counts no more.
    :ivar come: what counts now; some in place of one that is gone, with the same key.
    """

    removed: list[Resource[Any]] = field(default_factory=list)
    added: list[Resource[Any]] = field(default_factory=list)

    def in_chunks(self, size: int) -> Iterator[ResourceChange]:
        """The same change as several small ones, to be applied one after the other; everything that goes is first."""
        for start in range(0, len(self.removed), size):
            yield ResourceChange(removed=self.removed[start : start + size])
        for start in range(0, len(self.added), size):
            yield ResourceChange(added=self.added[start : start + size])


class LatestResources:
    """
    What :func:`latest` gives, of one set of resources after the other: only what is new or gone is looked at.

    :ivar winners: the resources that count.
    """

    def __init__(self) -> None:
        self.winners: dict[ResourceKey, Resource[Any]] = {}
        # By identity, which nothing else can have as long as they are kept.
        self._given: dict[int, Resource[Any]] = {}
        self._doubled: dict[ResourceKey, list[Resource[Any]]] = {}

    def update(self, resources: tuple[Resource[Any], ...]) -> ResourceChange:
        """
        Take these in place of those given before.

        :param resources: in any order.
        """
        before, given = self._given, dict(zip(map(id, resources), resources, strict=True))
        gone = [before[each] for each in before if each not in given]
        come = [given[each] for each in given if each not in before]
        self._given = given
        touched: dict[ResourceKey, Resource[Any] | None] = {}
        for resource in gone:
            touched.setdefault(resource.key, self.winners.get(resource.key))
            rivals = self._doubled.pop(resource.key, [resource])
            self._keep(resource.key, [each for each in rivals if each is not resource])
        for resource in come:
            known = self.winners.get(resource.key)
            touched.setdefault(resource.key, known)
            rivals = self._doubled.pop(resource.key, [known] if known is not None else [])
            self._keep(resource.key, [*rivals, resource])
        change = ResourceChange()
        for key in touched:
            old, new = touched[key], self.winners.get(key)
            if old is not new:
                change.removed += [old] if old is not None else []
                change.added += [new] if new is not None else []
        return change

    def _keep(self, key: ResourceKey, rivals: list[Resource[Any]]) -> None:
        """Have the last of some resources count, if there are any."""
        if len(rivals) > 1:
            rivals.sort(key=_place)
            self._doubled[key] = rivals
        if rivals:
            self.winners[key] = rivals[-1]
        else:
            del self.winners[key]

    def problems(self) -> list[Problem]:
        """A warning for each resource that does not count."""
        losers = [each for key, rivals in self._doubled.items() for each in rivals if each is not self.winners[key]]
        return [_overruled(loser, self.winners[loser.key]) for loser in sorted(losers, key=_place)]


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
