"""
Results of pure functions, remembered by the identity of what they were made from.

Resources, and what is made of them, never change: as long as a function is given the same objects, its result is the
same, and what it was the last time need not be computed again. Nothing has to be told what depends on what.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Memo(Generic[R]):
    """
    The results of one function.

    :param function: pure; takes one object or several, which never change.
    """

    def __init__(self, function: Callable[..., R]) -> None:
        self._function = function
        self._asked: dict[Any, tuple[R, tuple[Any, ...]]] = {}
        self._before: dict[Any, tuple[R, tuple[Any, ...]]] = {}

    def __call__(self, *inputs: Any) -> R:
        """The result for these very objects."""
        key = id(inputs[0]) if len(inputs) == 1 else tuple(map(id, inputs))
        entry = self._asked.get(key)
        if entry is None:
            entry = self._before.get(key)
            if entry is None:
                # The inputs are kept, so that no other object comes to have the identity of one of them.
                entry = (self._function(*inputs), inputs)
            self._asked[key] = entry
        return entry[0]

    def forget_unasked(self) -> None:
        """Drop what nobody has asked for since the last time; for the end of a round that asks for all there is."""
        self._before, self._asked = self._asked, {}


class Lookups:
    """
    Stands in front of an object with pure methods, and notes what it was asked and what it answered.

    :param source: the object.
    :ivar noted: the method's name, its arguments and its answer, of each question.
    """

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


@dataclass(slots=True)
class _Answered(Generic[R]):
    """
    A result that rests on answers.

    :ivar sources: of which it is known that they give these answers.
    :ivar noted: by source.
    """

    result: R
    inputs: tuple[Any, ...]
    sources: tuple[Any, ...]
    noted: tuple[tuple[tuple[str, tuple[Any, ...], Any], ...], ...]

    def holds(self, sources: tuple[Any, ...]) -> bool:
        """Whether these sources give the same answers."""
        for source, noted in zip(sources, self.noted, strict=True):
            for name, arguments, answer in noted:
                now = getattr(source, name)(*arguments)
                if now is not answer and now != answer:
                    return False
        self.sources = sources
        return True


class LookupMemo(Generic[R]):
    """
    The results of a function that asks others for a little of what they know. A result stays right as long as the
    answers stay the same, whatever else there is that is new.

    :param function: pure; takes the sources, then its inputs.
    :ivar sources: who is asked; a new tuple when one of them is new.
    """

    def __init__(self, function: Callable[..., R]) -> None:
        self._function = function
        self.sources: tuple[Any, ...] = ()
        self._asked: dict[Any, _Answered[R]] = {}
        self._before: dict[Any, _Answered[R]] = {}

    def __call__(self, *inputs: Any) -> R:
        """The result for these very objects."""
        key = tuple(map(id, inputs))
        entry = self._asked.get(key) or self._before.get(key)
        if entry is None or not (entry.sources is self.sources or entry.holds(self.sources)):
            lookups = tuple(map(Lookups, self.sources))
            result = self._function(*lookups, *inputs)
            entry = _Answered(result, inputs, self.sources, tuple(tuple(each.noted) for each in lookups))
        self._asked[key] = entry
        return entry.result

    def forget_unasked(self) -> None:
        """As :meth:`Memo.forget_unasked`."""
        self._before, self._asked = self._asked, {}
