"""``meshgate apply``: create or change objects of the local gateway's API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from meshgate.api.api_client import ApiClient, ApiClientError, address
from meshgate.cli.api_options import (
    FILES,
    NAMESPACE,
    RECURSIVE,
    client_error,
    client_of,
    print_warnings,
    reference,
    with_gateway,
)
from meshgate.cli.object_files import FileObject, objects_in

APPLY: Final = "application/apply-patch+yaml"


@click.command("apply")
@FILES
@RECURSIVE
@click.option("--force-conflicts", is_flag=True, help="Take over fields that another client has set.")
@click.option("--dry-run", is_flag=True, help="Check everything, and change nothing.")
@NAMESPACE
@with_gateway
def command(
    files: tuple[str, ...],
    recursive: bool,
    force_conflicts: bool,
    dry_run: bool,
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Create or change objects of the local gateway's API, as 'kubectl apply --server-side' does.

    Every document of the files is applied by itself: one that is refused is reported, the others take effect, and the
    exit status is 1.

    \b
    meshgate apply -f gateway.yaml -f routes/
    kubectl get gw,vs -A -o yaml | meshgate apply -f - --dry-run
    """  # noqa: D301 - click's mark for lines to keep
    if not files:
        raise click.UsageError("name the files with -f")
    client = client_of(config, state_dir)
    query = {"fieldManager": "meshgate"}
    query |= {"force": "true"} if force_conflicts else {}
    query |= {"dryRun": "All"} if dry_run else {}
    failed = False
    for each in objects_in(files, recursive=recursive):
        failed |= not apply_object(client, each, namespace, query)
    if failed:
        raise SystemExit(1)


def apply_object(client: ApiClient, object_: FileObject, namespace: str | None, query: Mapping[str, str]) -> bool:
    """Apply one object, and print the outcome; returns False if it was refused."""
    type_, metadata, name = object_.type, object_.metadata, object_.name
    if type_ is None or not name:
        why = "the API does not have this kind" if type_ is None else "it has no name"
        click.echo(f"error: {object_.describe()}: {why}", err=True)
        return False
    if namespace is not None and metadata.get("namespace") not in (None, namespace) and type_.namespaced:
        click.echo(
            f"error: {reference(type_, name)} is of the namespace {metadata['namespace']}, not {namespace}", err=True
        )
        return False
    where = namespace or metadata.get("namespace") or client.namespace
    path = address(type_, str(where), name)
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    body = {**object_.document, "apiVersion": type_.api_version(type_.versions[0]), "metadata": kept}
    try:
        before = generation_of(client, path)
        reply = client.send("PATCH", path, body, APPLY, query=query)
    except ApiClientError as error:
        if not error.code:
            raise client_error(error) from None
        click.echo(f"error: {error}", err=True)
        return False
    print_warnings(reply.warnings)
    same = before == reply.object["metadata"].get("generation")
    outcome = "created" if reply.code == 201 else "unchanged" if same else "configured"
    click.echo(f"{reference(type_, name)} {outcome}{' (dry run)' * ('dryRun' in query)}")
    return True


def generation_of(client: ApiClient, path: str) -> Any:
    """The generation of an object; None if there is none."""
    try:
        return client.get(path)["metadata"].get("generation")
    except ApiClientError as error:
        if error.code != 404:
            raise
        return None
