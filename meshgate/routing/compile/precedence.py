"""
Why one of several resources wins: Istio's order of ages, names and namespaces, in words.

Problem: files mostly say no age, so their order stands for it. But in a cluster resources that were applied together
are mostly equally old, since ages are whole seconds there, and then the name decides. So the winner here may be the
loser there.

Approach: whatever loses to another is a :class:`Loss`. Where anything is lost, the same decisions are made once more in
the order of a cluster, and :func:`loss_problems` compares the two: each problem says why the winner wins, and who would
win by name, if that is someone else. What is lost by name alone has a problem of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshgate.resources.durations import format_age
from meshgate.resources.problem import Problem
from meshgate.resources.resource import Resource

IN_CLUSTER: Final = "in a cluster, if created within one second"

LossKey = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Loss:
    """
    A server, a rule or a match block that loses to another.

    :ivar key: of the loser, the same in every order.
    :ivar winner: the resource that wins.
    :ivar loser: the resource that loses.
    :ivar reason: why, in words: ``by file order``.
    :ivar problem: makes the problem, of the reason.
    :ivar problem_by_name: makes the problem of a loss in a cluster alone, of the reason there.
    """

    key: LossKey
    winner: Resource[Any]
    loser: Resource[Any]
    reason: str
    problem: Callable[[str], Problem] = field(compare=False)
    problem_by_name: Callable[[str], Problem] | None = field(default=None, compare=False)


def precedence(winner: Resource[Any], loser: Resource[Any]) -> str:
    """Why a resource comes before another, in words that follow its name and a comma."""
    since, other_since = winner.known_since, loser.known_since
    if since is not None and other_since is None:
        return "older, as the other one has no creationTimestamp"
    if since is not None and other_since is not None and since < other_since:
        seconds = other_since - since
        return f"older by {format_age(seconds) if seconds >= 1 else 'less than a second'}"
    if winner.created is not None and loser.created is not None:
        return f"by {'namespace' if winner.name == loser.name else 'name'}, as both are equally old"
    return "by file order"


def in_cluster(winner: Resource[Any], loser: Resource[Any], by_name: Resource[Any]) -> str:
    """
    The note that another resource would win in a cluster; else an empty text.

    :param by_name: the one that wins there.
    """
    if by_name.key == winner.key:
        return ""
    name = by_name.name if winner.namespace == by_name.namespace == loser.namespace else by_name.qualified_name
    return f"; {IN_CLUSTER}: {name}"


def precedence_by_name(winner: Resource[Any], loser: Resource[Any], rivals: Iterable[Resource[Any]]) -> str:
    """
    The reason as :func:`precedence` gives it, and who would win in a cluster.

    :param rivals: all that ask for the same, the two included.
    """
    return precedence(winner, loser) + in_cluster(winner, loser, min(rivals, key=Resource.order_in_cluster))


def loss_problems(losses: Iterable[Loss], by_name: Mapping[LossKey, Loss]) -> Iterator[Problem]:
    """
    The problems of losses.

    :param by_name: the losses in the order of a cluster.
    """
    losers, losers_there = set(), {loss.loser.key for loss in by_name.values()}
    for loss in losses:
        losers.add(loss.loser.key)
        there = by_name.get(loss.key)
        if there is None and loss.winner.key not in losers_there:
            yield loss.problem(f"{loss.reason}; {IN_CLUSTER}, both serve")
            continue
        winner_there = loss.loser if there is None else there.winner
        yield loss.problem(loss.reason + in_cluster(loss.winner, loss.loser, winner_there))
    for loss in by_name.values():
        # A loser there whose rival loses here is in that one's problem already.
        if loss.problem_by_name is not None and loss.loser.key not in losers and loss.winner.key not in losers:
            yield loss.problem_by_name(loss.reason)
