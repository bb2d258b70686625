"""``meshgate delete``: delete objects of the local gateway's API."""

from __future__ import annotations

from pathlib import Path

import click

from meshgate.api.api_client import ApiClientError, address
from meshgate.api.resource_types import ResourceType
from meshgate.cli.api_options import (
    FILES,
    NAMESPACE,
    RECURSIVE,
    client_error,
    client_of,
    complete_type,
    reference,
    selected,
    with_gateway,
)
from meshgate.cli.object_files import objects_in


@click.command("delete")
@click.argument("arguments", metavar="[TYPE NAME...]", nargs=-1, shell_complete=complete_type)
@FILES
@RECURSIVE
@click.option("--ignore-not-found", is_flag=True, help="Do not count an object that is not there as an error.")
@NAMESPACE
@with_gateway
def command(
    arguments: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    ignore_not_found: bool,
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Delete objects of the local gateway's API: those of one TYPE with these NAMEs, or those of files.

    An object that is not there, or that a file of the gateway defines, is reported, and the exit status is 1.

    \b
    meshgate delete gateway echo other
    meshgate delete gw/echo vs/echo -n shop
    meshgate delete -f routes/
    """  # noqa: D301 - click's mark for lines to keep
    named = selected(arguments) if arguments else []
    if bool(named) is bool(files) or not all(names for _, names in named):
        raise click.UsageError("name a type and objects, or files with -f")
    client = client_of(config, state_dir)
    wanted: list[tuple[ResourceType, str, str]] = []
    for type_, names in named:
        wanted += [(type_, namespace or client.namespace, name) for name in names]
    for each in objects_in(files, recursive=recursive) if files else ():
        if each.type is None:
            raise click.ClickException(f"{each.describe()}: the API does not have this kind")
        where = namespace or each.metadata.get("namespace") or client.namespace
        wanted.append((each.type, str(where), each.name))
    failed = False
    for type_, where, name in wanted:
        try:
            client.send("DELETE", address(type_, where, name))
            click.echo(f"{reference(type_, name)} deleted")
        except ApiClientError as error:
            if not error.code:
                raise client_error(error) from None
            if error.code != 404 or not ignore_not_found:
                failed = True
                click.echo(f"error: {error}", err=True)
    if failed:
        raise SystemExit(1)
