"""
Results that rest on answers: how to know that a result is still right, without telling what depends on what.

A function that asks a large, immutable object for a little of what it knows need not be called again when another such
object takes its place, as long as that gives the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from meshgate.resources.steps import BATCH, batches

R = TypeVar("R")

Noted = tuple[tuple[str, tuple[Any, ...], Any], ...]


@dataclass(slots=True)
class Answered(Generic[R]):
    """
    A result that rests on answers.

    :ivar sources: those that are known to give these answers.
    :ivar noted: of each source the questions, as a method's name and arguments, with the answers.
    """

    result: R
    sources: tuple[Any, ...]
    noted: tuple[Noted, ...]

    def holds(self, sources: tuple[Any, ...]) -> Generator[None, None, bool]:
        """Whether these sources, in place of those that were asked, give the same answers. In steps."""
        if self.sources is sources:
            return True
        for source, noted in zip(sources, self.noted, strict=True):
            for batch in batches(noted):
                for name, arguments, answer in batch:
                    now = getattr(source, name)(*arguments)
                    if now is not answer and now != answer:
                        return False
                if len(batch) == BATCH:
                    yield
        self.sources = sources
        return True


def answered(
    function: Callable[..., Generator[None, None, R]], sources: tuple[Any, ...]
) -> Generator[None, None, Answered[R]]:
    """
    Call a function with what stands for its sources, and note what it asks them. In steps, as the function has them.

    :param function: takes the sources, of which it calls pure methods only.
    """
    lookups = tuple(map(_Lookups, sources))
    result = yield from function(*lookups)
    return Answered(result, sources, tuple(tuple(each.noted) for each in lookups))


class _Lookups:
    """Stands in front of a source, and notes what it is asked."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.noted: list[tuple[str, tuple[Any, ...], Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._source, name)

        def ask(*arguments: Any) -> Any:
            answer = method(*arguments)
            self.noted.append((name, arguments, answer))
            return answer

        return ask
