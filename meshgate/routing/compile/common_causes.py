"""
Problems with a common cause, of which people are shown one.

A Service without endpoints is a problem of every route that leads to it, and a port that the Service of the gateway
lacks is one of every server on it. The status of a resource has them all; a list for people has one for each cause,
which counts the others. Where endpoints are missing only because they are Pods of the same input, one problem stands
for all of a file. Where nothing is routed from a server since rules are of another kind, its problem names their
VirtualServices, and stands for those of the rules.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Final

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import count_of

_OTHERS: Final = {"MG2020": "destination", "MG2022": "destination", "MG2042": "server"}
"""The codes of problems that may have a common cause, each with the noun for what the problems are about."""


def one_for_each_cause(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """
    Leave one of the problems that have a common cause, the first of them.

    :param problems: in the order of the files.
    """
    found = list(problems)
    # That a route names none of several ports is no news where the port that counts then does not exist.
    without_port = {_field(problem) for problem in found if problem.code == "MG2021"}
    of_servers = {cause for problem in found if problem.code == "MG2008" for cause in problem.causes}
    groups: dict[Hashable, list[Problem]] = {}
    for problem in found:
        if problem.code == "MG2052" and problem.causes and of_servers.issuperset(problem.causes):
            continue
        if problem.code == "MG2047" and _field(problem) in without_port:
            continue
        groups.setdefault(_cause(problem) or problem, []).append(problem)
    return tuple(_with_count(group) if len(group) > 1 else group[0] for group in groups.values())


def _field(problem: Problem) -> Hashable:
    return problem.kind, problem.namespace, problem.name, problem.path


def _cause(problem: Problem) -> Hashable:
    """The cause of a problem; None if no other problem can have it."""
    if problem.code not in _OTHERS:
        return None
    is_info = problem.severity is Severity.INFO
    if problem.code == "MG2020" and not is_info:
        return None  # each of them is to be mended
    if problem.code == "MG2022" and is_info:
        return problem.code, problem.file
    return problem.code, problem.message


def _with_count(group: list[Problem]) -> Problem:
    first, others = group[0], len(group) - 1
    is_one = others == 1
    more = count_of(others, f"more {_OTHERS[first.code]}")
    return replace(first, message=f"{first.message}; {more} {'has' if is_one else 'have'} the same problem")
