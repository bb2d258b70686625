"""The reference of the settings, made from their models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from meshgate.resources.model import ValueForm
from meshgate.settings.schema import SettingsFile
from meshgate.settings.section import Section, keys


def settings_reference() -> str:
    """
    The reference in reStructuredText, for Sphinx: all keys by their full names, as ``lab.echo[].port``, each with an
    anchor of its own.
    """
    return "\n".join(_entries(SettingsFile, ""))


def default_text(field: FieldInfo) -> str:
    """The default of a key as people write it in the file; empty for a required key."""
    return "" if field.is_required() else _flow(field.default)


def _flow(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(content)}" for key, content in value.items()) + "}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_flow, value))}]"
    return f'"{value}"' if value in ("", "-") else str(value)


def _entries(section: type[Section], prefix: str) -> Iterator[str]:
    for key in keys(section):
        path = prefix + key.name
        yield f".. confval:: {path}"
        if key.section is None:
            default = default_text(key.field)
            yield from (f"   :type: {_form(key.field)}", f"   :default: {f'``{default}``' if default else 'required'}")
        yield from ("", f"   {key.field.description}", "")
        if key.section is not None:
            is_list = key.field.default == ()
            yield from _entries(key.section, f"{path}[]." if is_list else f"{path}.")


def _form(field: FieldInfo) -> str:
    """The form of the value, in words."""
    choices = [f"``{word}``" for word in get_args(field.annotation) if isinstance(word, str)]
    if choices:
        return " or ".join(choices)
    return next(one.text for one in field.metadata if isinstance(one, ValueForm))
