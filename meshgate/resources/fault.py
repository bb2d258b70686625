"""
A fault in one resource, before anyone knows the file and line it stands in.

Made by the rules beside the models and by the translation of pydantic's errors; the reader gives it a place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshgate.resources.partial import BrokenValueError, sound_items
from meshgate.resources.problem import Severity
from meshgate.resources.wording import path_text, quoted

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One thing that is wrong with a resource, or worth knowing.

    :ivar path: keys and indexes to the field; from ``spec`` on in the rules beside the models.
    :ivar code: of :data:`meshgate.resources.codes.CODES`.
    :ivar message: what is wrong, in one sentence without a full stop.
    :ivar hint: what to do about it, or empty.
    :ivar points_at_key: the key is at fault rather than its value.
    """

    path: FieldPath
    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    points_at_key: bool = False


def chain_rules(*rules: Iterator[Fault]) -> Iterator[Fault]:
    """The faults that rules find, of each as many as it finds before it depends on a value that has a fault already."""
    for rule in rules:
        try:
            yield from rule
        except BrokenValueError:
            continue


def trailing_dot_faults(names: Iterable[str], path: FieldPath) -> Iterator[Fault]:
    """
    A warning for each name that ends with a dot, where clients ask for names: they never send that dot (RFC 6066).

    :param names: server names, or hosts that server names are held against.
    :param path: of the list.
    """
    for index, name in sound_items(names):
        if name.endswith("."):
            message = f"{quoted(name)} ends with a dot, and no client asks for a server name that does"
            hint = f"write {quoted(name.removesuffix('.'))}; hosts are compared letter by letter"
            yield Fault((*path, index), "MG1099", message, hint, Severity.WARNING)


def duplicate_faults(values: Iterable[str | int], path: FieldPath, field: FieldPath, what: str) -> Iterator[Fault]:
    """
    A fault for each value in a list of objects that one before it has already.

    :param values: one of each object, in order; empty ones may repeat.
    :param path: of the list.
    :param field: of the value, from the object on.
    :param what: what the objects are, in the singular.
    """
    first: dict[str | int, int] = {}
    for index, value in sound_items(values):
        if value in first and value:
            other = path_text((*path, first[value], *field))
            yield Fault(
                (*path, index, *field),
                "MG1009",
                f"the {field[-1]} {quoted(str(value))} is taken by {other}",
                f"give each {what} a {field[-1]} of its own",
            )
        first.setdefault(value, index)
