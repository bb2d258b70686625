"""Sections of the settings file: how a key is described, and how the keys of a section are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import ConfigDict, Field
from pydantic.fields import FieldInfo

from meshgate.resources.model import Model


def key(description: str, default: Any = ..., **rules: Any) -> Any:
    """
    A key of the file.

    :param description: its meaning and unit, as a sentence.
    :param default: its default, as a user would write it; none for a required key.
    :param rules: further arguments of :func:`pydantic.Field`.
    """
    return Field(default, description=description, validate_default=True, **rules)


class Section(Model):
    """A mapping of the file. A key without a value counts as absent."""

    model_config = ConfigDict(alias_generator=None)


class Key(NamedTuple):
    """
    A key of a section.

    :ivar name: the name of the key in the file.
    :ivar section: the section under the key, or of which there is a list; None if the key has another value.
    """

    name: str
    field: FieldInfo
    section: type[Section] | None


def keys(section: type[Section]) -> Iterator[Key]:
    """The keys of a section, in the order of the reference."""
    for name, field in section.model_fields.items():
        yield Key(field.alias or name, field, _section_in(field.annotation))


def _section_in(annotation: Any) -> type[Section] | None:
    """The section within an annotation, inside any unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
