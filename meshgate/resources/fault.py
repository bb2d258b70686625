"""
Faults: findings about one resource, each with a path within it but without file and line.

A rule is a generator that takes (a part of) a resource and yields faults. The rules of each kind stand beside its
model, and :mod:`~meshgate.resources.validation` makes faults of pydantic's errors. The reader, which alone knows the
file, turns faults into :class:`problems <meshgate.resources.problem.Problem>`.

Rules are written as if every field were sound. Where pydantic has refused a value, :data:`BROKEN` stands for it; once
a rule depends on ``BROKEN``, :exc:`BrokenValueError` ends this one rule, and :func:`chain_rules` keeps what it has
found so far. So nothing may iterate over a field or compare it outside a rule, such as in the arguments of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from meshgate.resources.problem import Severity
from meshgate.resources.wording import path_text, quoted

T = TypeVar("T")

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One thing that is wrong with a resource, or worth knowing.

    :ivar path: keys and indexes from the document to the field, as ``("spec", "servers", 0)``.
    :ivar code: one of :data:`meshgate.resources.codes.CODES`.
    :ivar message: what is wrong, in one sentence without a full stop.
    :ivar hint: what to do about it, or empty.
    :ivar points_at_key: report the position of the field's key, and not that of its value.
    """

    path: FieldPath
    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    points_at_key: bool = False


class BrokenValueError(Exception):
    """A rule depends on a value that has a fault."""


class _Broken:
    """The type of :data:`BROKEN`. Its fields are broken as well; every other use raises :exc:`BrokenValueError`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> _Broken:
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise BrokenValueError

    __call__ = __getitem__ = __iter__ = __len__ = __bool__ = __contains__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _refuse
    __str__ = __format__ = __int__ = __index__ = _refuse


BROKEN: Final[Any] = _Broken()
"""Stands in a partial instance for a value that has a fault."""


def sound_items(items: Iterable[T]) -> Iterator[tuple[int, T]]:
    """The items of a list that are not broken, with their indexes."""
    return ((index, item) for index, item in enumerate(items) if item is not BROKEN)


def chain_rules(*rules: Iterator[Fault]) -> Iterator[Fault]:
    """Run rules one after the other. A rule ends early once it depends on a value that has a fault already."""
    for rule in rules:
        try:
            yield from rule
        except BrokenValueError:
            continue


def trailing_dot_faults(names: Iterable[str], path: FieldPath) -> Iterator[Fault]:
    """
    Warn of each name that ends with a dot: no client asks for such a server name (RFC 6066, section 3).

    :param names: server names, or hosts that server names are compared with.
    :param path: the path of the list.
    """
    for index, name in sound_items(names):
        if name.endswith("."):
            message = f"{quoted(name)} ends with a dot, and no client asks for a server name that does"
            hint = f"write {quoted(name.removesuffix('.'))}; hosts are compared letter by letter"
            yield Fault((*path, index), "MG1099", message, hint, Severity.WARNING)


def duplicate_faults(
    objects: Iterable[T], value_of: Callable[[T], str | int], path: FieldPath, field: FieldPath, noun: str
) -> Iterator[Fault]:
    """
    Report each object of a list whose value an earlier object has already.

    :param value_of: returns the value of an object; empty values may repeat.
    :param path: the path of the list.
    :param field: the path of the value within an object.
    :param noun: a noun for one of the objects, as ``port``.
    """
    first: dict[str | int, int] = {}
    for index, value in sound_items(map(value_of, objects)):
        if value in first and value:
            other = path_text((*path, first[value], *field))
            yield Fault(
                (*path, index, *field),
                "MG1009",
                f"the {field[-1]} {quoted(str(value))} is taken by {other}",
                f"give each {noun} a {field[-1]} of its own",
            )
        first.setdefault(value, index)
