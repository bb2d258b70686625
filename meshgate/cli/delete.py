"""``meshgate delete``: delete objects of the local gateway's API."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from meshgate.api.api_client import ApiClientError, address
from meshgate.api.resource_types import ResourceType
from meshgate.cli.api_options import NAMESPACE, client_of, reference, required_type, with_gateway
from meshgate.cli.apply import documents_of, type_of_document


@click.command("delete")
@click.argument("type_name", metavar="TYPE", required=False)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "-f", "--filename", "files", type=click.File(encoding="utf-8"), multiple=True, help="A file with objects, or -."
)
@NAMESPACE
@with_gateway
def command(
    type_name: str | None,
    names: tuple[str, ...],
    files: tuple[TextIO, ...],
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Delete objects of the local gateway's API: those of one TYPE with these names, or those of files.

    An object that is not there, or that a file of the gateway defines, is reported, and the exit status is 1.
    """
    if bool(type_name and names) is bool(files):
        raise click.UsageError("name a type and objects, or files with -f")
    client = client_of(config, state_dir)
    wanted: list[tuple[ResourceType, str, str]] = []
    if type_name is not None:
        type_ = required_type(type_name)
        wanted = [(type_, namespace or client.namespace, name) for name in names]
    for file in files:
        for document in documents_of(file):
            found, metadata = type_of_document(document), document.get("metadata") or {}
            if found is None:
                raise click.ClickException(f"{file.name}: the API does not have the kind {document.get('kind')}")
            where = namespace or metadata.get("namespace") or client.namespace
            wanted.append((found, str(where), str(metadata.get("name", ""))))
    failed = False
    for type_, where, name in wanted:
        try:
            client.send("DELETE", address(type_, where, name))
            click.echo(f"{reference(type_, name)} deleted")
        except ApiClientError as error:
            failed = True
            click.echo(f"error: {error}", err=True)
    if failed:
        raise SystemExit(1)
