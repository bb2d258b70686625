"""
The place of a value that has a fault, in a record of which the rest can still be judged.

A rule looks at fields as if all were sound. Where one is not, the rule is cut short as soon as it depends on it, and
so never judges what it cannot know; :func:`meshgate.resources.fault.judged` takes what it has found until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn, TypeVar

T = TypeVar("T")


class BrokenValueError(Exception):
    """A rule depends on a value that has a fault."""


class _Broken:
    """Its fields are broken, too; anything else that is done with it raises :exc:`BrokenValueError`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> _Broken:
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise BrokenValueError

    __call__ = __getitem__ = __iter__ = __len__ = __bool__ = __contains__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _refuse
    __str__ = __format__ = __int__ = __index__ = _refuse


BROKEN: Final[Any] = _Broken()


def sound(items: Iterable[T]) -> Iterator[tuple[int, T]]:
    """The items of a list that have no fault, with their indexes."""
    return ((index, item) for index, item in enumerate(items) if item is not BROKEN)
