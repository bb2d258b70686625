"""Faults in a provider's options. The reader of the settings file adds line and column to each path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """
    One fault in a provider's options.

    :ivar path: keys and indexes below the provider's own mapping, as ``("paths", 0)``.
    :ivar message: the fault in one sentence, without a full stop.
    :ivar hint: a remedy, or empty.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


class OptionsError(Exception):
    """
    A provider's options cannot be used.

    :ivar problems: every fault found.
    """

    def __init__(self, *problems: OptionProblem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def unknown_options(options: Iterable[str], known: Iterable[str]) -> list[OptionProblem]:
    """
    Give a problem for each option that a provider does not have, with the nearest name that it has.

    :param options: the names in the settings.
    :param known: the names of the provider's options.
    """
    names = sorted(known)
    problems = []
    for option in options:
        if option not in names:
            near = get_close_matches(str(option), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(names)}"
            problems.append(OptionProblem((option,), f"unknown option {option!r}", hint))
    return problems
