"""``meshgate explain-field``: the reference of all kinds, one field at a time."""

from __future__ import annotations

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.report import print_entry, print_kinds
from meshgate.resources.field_reference import UnknownFieldError, find_entry, kind_entry
from meshgate.resources.kinds.supported_kinds import KINDS


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete a kind, or the last step of a path."""
    parent, dot, last = incomplete.rpartition(".")
    try:
        names = [field.name for field in find_entry(parent).fields] if dot else list(KINDS)
    except UnknownFieldError:
        return []
    return [f"{parent}{dot}{name}" for name in names if name.lower().startswith(last.lower())]


@click.command("explain-field")
@click.argument("field", required=False, shell_complete=_complete)
@FORMAT
def command(field: str | None, form: str) -> None:
    """Explain what a field of a resource means, and which values it takes.

    FIELD is a kind, or a path that begins with one; the fields below it are listed. A kind may have its short name, as
    gw, vs, dr, se and we. Without FIELD, all kinds are listed.

    \b
    meshgate explain-field Gateway
    meshgate explain-field gw.spec.servers.tls.mode
    """  # noqa: D301 - click's mark for lines to keep
    if field is None:
        _list_kinds(form)
        return
    try:
        entry = find_entry(field)
    except UnknownFieldError as error:
        raise click.UsageError(str(error)) from None
    if form == "json":
        print_json(entry.as_json())
    else:
        print_entry(entry)


def _list_kinds(form: str) -> None:
    if form == "json":
        print_json(
            [
                {
                    "kind": kind.name,
                    "shortName": kind.short_name or None,
                    "apiVersions": kind.api_versions,
                    "description": kind_entry(kind).description,
                }
                for kind in KINDS.values()
            ]
        )
    else:
        print_kinds(KINDS.values())
