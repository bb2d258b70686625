"""Long work in small steps: generators that rest in between, for whoever has other things to do."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")


def run_through(steps: Generator[Any, None, T]) -> T:
    """Take all steps at once, and give the result that the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
