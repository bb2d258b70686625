"""``meshgate apply``: create or change objects of the local gateway's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import click

from meshgate.api.api_client import ApiClient, ApiClientError, address
from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.cli.api_options import NAMESPACE, client_of, print_warnings, reference, with_gateway
from meshgate.resources.documents import items_of
from meshgate.resources.yaml.document import YamlError, iterate_documents

APPLY: str = "application/apply-patch+yaml"


@click.command("apply")
@click.option(
    "-f", "--filename", "files", type=click.File(encoding="utf-8"), multiple=True, required=True, help="A file, or -."
)
@click.option("--force-conflicts", is_flag=True, help="Take over fields that another client has set.")
@click.option("--dry-run", is_flag=True, help="Check everything, and change nothing.")
@NAMESPACE
@with_gateway
def command(
    files: tuple[TextIO, ...],
    force_conflicts: bool,
    dry_run: bool,
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Create or change objects of the local gateway's API, as 'kubectl apply --server-side' does.

    Every document of the files is applied by itself: one that is refused is reported, the others take effect, and the
    exit status is 1.
    """
    client = client_of(config, state_dir)
    query = {"fieldManager": "meshgate"}
    query |= {"force": "true"} if force_conflicts else {}
    query |= {"dryRun": "All"} if dry_run else {}
    documents = [document for file in files for document in documents_of(file)]
    if not documents:
        raise click.ClickException("there is nothing to apply: no document was read")
    failed = False
    for document in documents:
        failed |= not apply_document(client, document, namespace, query)
    if failed:
        raise SystemExit(1)


def documents_of(file: TextIO) -> Iterator[Mapping[str, Any]]:
    """
    Read the documents of a file; the items of a list count as documents.

    :raises ClickException: if it is not YAML, or has something else than objects.
    """
    try:
        for document in iterate_documents(file.read()):
            if document.value is None:
                continue
            for each in items_of(document.value) or [document.value]:
                if not isinstance(each, Mapping):
                    raise click.ClickException(f"{file.name}: a document is no object")
                yield each
    except YamlError as error:
        raise click.ClickException(f"{file.name}:{error.line}:{error.column}: {error.message}") from None


def type_of_document(document: Mapping[str, Any]) -> ResourceType | None:
    """The type of a document, or None if the API does not have it."""
    group = str(document.get("apiVersion", "")).rpartition("/")[0]
    return type_of_kind(group, str(document.get("kind", "")))


def apply_document(
    client: ApiClient, document: Mapping[str, Any], namespace: str | None, query: Mapping[str, str]
) -> bool:
    """Apply one document, and print the outcome; returns False if it was refused."""
    type_ = type_of_document(document)
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if type_ is None or not isinstance(metadata, Mapping) or not isinstance(name, str):
        kind = document.get("kind", "a document without a kind")
        click.echo(f"error: {kind}: the API does not have this kind, or the document has no name", err=True)
        return False
    if namespace is not None and metadata.get("namespace") not in (None, namespace):
        click.echo(
            f"error: {reference(type_, name)} is of the namespace {metadata['namespace']}, not {namespace}", err=True
        )
        return False
    where = namespace or metadata.get("namespace") or client.namespace
    path = address(type_, str(where), name)
    body = {**document, "apiVersion": type_.api_version(type_.versions[0])}
    try:
        before = _revision(client, path)
        reply = client.send("PATCH", path, body, APPLY, query=query)
    except ApiClientError as error:
        click.echo(f"error: {error}", err=True)
        return False
    print_warnings(reply.warnings)
    same = before == reply.object["metadata"].get("generation")
    outcome = "created" if reply.code == 201 else "unchanged" if same else "configured"
    click.echo(f"{reference(type_, name)} {outcome}{' (dry run)' * ('dryRun' in query)}")
    return True


def _revision(client: ApiClient, path: str) -> Any:
    """The generation of an object; None if there is none."""
    try:
        return client.get(path)["metadata"].get("generation")
    except ApiClientError as error:
        if error.code != 404:
            raise
        return None
