"""
Duplicates: of several documents that define the same resource, the latest counts.

Problem: a snapshot may define a resource (kind, namespace, name) more than once, and the compiler must see one. A
snapshot has thousands of resources, of which a change of one file replaces a few.

Approach: :class:`LatestResources` keeps the resources of the last snapshot by identity. It compares a new snapshot by
``id``, looks only at the keys of resources that are new or removed, and gives the compiler the difference.

Invariants: the result depends on provider, file and position alone, not on the order in which resources are given;
and it is the same as if each snapshot were the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey


def latest(resources: Iterable[Resource[Any]]) -> tuple[list[Resource[Any]], list[Problem]]:
    """
    The resources that count, and a warning for each that does not.

    As with ``kubectl apply``, the later one of the same kind, namespace and name counts: the later document of a file,
    the later file, the later provider. What a client of the API has applied counts after all of them.

    :param resources: in any order.
    :return: both in the order of providers, files and documents.
    """
    found = LatestResources()
    found.update(tuple(resources))
    return sorted(found.winners.values(), key=_position), found.problems()


@dataclass(slots=True)
class ResourceChange:
    """
    The difference between two sets of resources that count.

    :ivar removed: the resources that no longer count.
    :ivar added: the resources that count now; some replace a removed resource of the same key.
    """

    removed: list[Resource[Any]] = field(default_factory=list)
    added: list[Resource[Any]] = field(default_factory=list)

    def in_chunks(self, size: int) -> Iterator[ResourceChange]:
        """Split the change into small ones, to be applied one after the other; all removals come first."""
        for start in range(0, len(self.removed), size):
            yield ResourceChange(removed=self.removed[start : start + size])
        for start in range(0, len(self.added), size):
            yield ResourceChange(added=self.added[start : start + size])


class LatestResources:
    """
    The resources that count, kept up to date as one snapshot follows another.

    :ivar winners: the resources that count, by their keys.
    """

    def __init__(self) -> None:
        self.winners: dict[ResourceKey, Resource[Any]] = {}
        # By id(), which stays theirs as long as they are kept here.
        self._by_id: dict[int, Resource[Any]] = {}
        self._duplicates: dict[ResourceKey, list[Resource[Any]]] = {}

    def update(self, resources: tuple[Resource[Any], ...]) -> ResourceChange:
        """
        Replace all resources of the last update by these.

        :param resources: in any order.
        :return: the difference for those who use the resources.
        """
        before, given = self._by_id, dict(zip(map(id, resources), resources, strict=True))
        removed = [before[each] for each in before if each not in given]
        added = [given[each] for each in given if each not in before]
        self._by_id = given
        touched: dict[ResourceKey, Resource[Any] | None] = {}
        for resource in removed:
            touched.setdefault(resource.key, self.winners.get(resource.key))
            rivals = self._duplicates.pop(resource.key, [resource])
            self._set_rivals(resource.key, [each for each in rivals if each is not resource])
        for resource in added:
            winner = self.winners.get(resource.key)
            touched.setdefault(resource.key, winner)
            rivals = self._duplicates.pop(resource.key, [winner] if winner is not None else [])
            self._set_rivals(resource.key, [*rivals, resource])
        change = ResourceChange()
        for key in touched:
            old, new = touched[key], self.winners.get(key)
            if old is not new:
                change.removed += [old] if old is not None else []
                change.added += [new] if new is not None else []
        return change

    def _set_rivals(self, key: ResourceKey, rivals: list[Resource[Any]]) -> None:
        """Let the last of the resources with one key count, if there are any."""
        if len(rivals) > 1:
            rivals.sort(key=_position)
            self._duplicates[key] = rivals
        if rivals:
            self.winners[key] = rivals[-1]
        else:
            del self.winners[key]

    def problems(self) -> list[Problem]:
        """Warn of each resource that does not count."""
        losers = [each for key, rivals in self._duplicates.items() for each in rivals if each is not self.winners[key]]
        return [_overruled(loser, self.winners[loser.key]) for loser in sorted(losers, key=_position)]


def later(first: Resource[Any], second: Resource[Any]) -> Resource[Any]:
    """The one of two resources with the same key that counts."""
    return max(first, second, key=_position)


def _position(resource: Resource[Any]) -> tuple[bool, str, str, int, int, int]:
    origin = resource.origin
    return (not origin.is_applied, origin.provider, origin.file, origin.document, origin.line, origin.column)


def _overruled(loser: Resource[Any], winner: Resource[Any]) -> Problem:
    same = (loser.spec, loser.labels) == (winner.spec, winner.labels)
    return loser.problem(
        Severity.WARNING,
        "MG0007",
        f"defined again at {winner.origin}, which counts, since {_reason(loser, winner)}; "
        f"{'the copy' if same else 'what is written'} here, at {loser.origin}, has no effect",
        hint="remove one of the two" if same else "remove what is out of date, or give it another name",
    )


def _reason(loser: Resource[Any], winner: Resource[Any]) -> str:
    """Why one of two documents is the later one."""
    if loser.origin.is_applied:
        return "files and other providers count before what is applied"
    if loser.origin.provider != winner.origin.provider:
        return f"the provider {winner.origin.provider!r} sorts last"
    if loser.origin.file != winner.origin.file:
        return f"{winner.origin.file} sorts last"
    return "it comes last in the file"
