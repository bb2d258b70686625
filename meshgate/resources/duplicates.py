"""
One resource per kind, namespace and name: what happens when several documents write the same one.

Knows records only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import Resource, ResourceKey


def latest(resources: Iterable[Resource[Any]]) -> tuple[list[Resource[Any]], list[Problem]]:
    """
    The resources that count, and a warning for each that does not. As with ``kubectl apply``, the later one of
    the same kind, namespace and name wins: the later document of a file, the later file, the later provider.

    :param resources: in any order; the result does not depend on it.
    :return: both in the order of providers, files and documents.
    """
    in_order = sorted(resources, key=_place)
    winners: dict[ResourceKey, Resource[Any]] = {resource.key: resource for resource in in_order}
    kept = [resource for resource in in_order if winners[resource.key] is resource]
    warnings = [
        _overruled(resource, winners[resource.key]) for resource in in_order if winners[resource.key] is not resource
    ]
    return kept, warnings


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
