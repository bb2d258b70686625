"""Long work in small steps: generators that rest in between, for whoever has other things to do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, MutableMapping
from itertools import islice
from typing import Any, Final, TypeVar

T = TypeVar("T")

BATCH: Final = 64
"""How many things of some microseconds each are done between two rests."""

MANY: Final = 512
"""The same of things that are only looked up, or noted, for a tenth of a microsecond each where memory is quick."""


def run_through(steps: Generator[Any, None, T]) -> T:
    """Take all steps at once, and give the result that the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


def let_go(things: MutableMapping[Any, Any]) -> Iterator[None]:
    """Empty a mapping that nobody looks into any more: thousands of objects that go at once take their time, too."""
    while things:
        for _ in range(min(len(things), MANY)):
            things.popitem()
        yield


def take_apart(things: list[Any]) -> Iterator[None]:
    """
    Let go of things that nobody else holds, one part after the other: a rule with its thousands of blocks is freed in
    steps, too.

    :param things: models, whose parts are in tuples; nothing is left of the list.
    """
    while things:
        for _ in range(min(len(things), BATCH)):
            for value in getattr(things.pop(), "__dict__", {}).values():
                if isinstance(value, tuple):
                    things += value
        yield


def discard(held: list[Any]) -> Iterator[None]:
    """Let go of things that mostly nobody else holds any more, in steps; nothing is left of the list."""
    while held:
        del held[-BATCH:]
        yield


def fill(update: Callable[[list[T]], object], things: Iterable[T]) -> Iterator[None]:
    """
    Put things into a set, a dictionary or a list, in steps.

    :param update: its ``update``, or ``extend``.
    """
    for some in batches(things, MANY):
        update(some)
        yield


def batches(things: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The same things, some at a time; between two batches there can be a rest."""
    rest = iter(things)
    while batch := list(islice(rest, size)):
        yield batch
