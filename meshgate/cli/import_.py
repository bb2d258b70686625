"""
``meshgate import``: take the objects of another gateway or of a cluster into the API of the local one.

The age of objects decides which Gateway gets a port that several want. Objects that are imported keep theirs, so that
the same ones win as where they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from meshgate.api.api_client import ApiClient, ApiClientError, address
from meshgate.api.resource_types import NAMESPACES, TYPES
from meshgate.cli.api_options import (
    NAMESPACE,
    RECURSIVE,
    client_error,
    client_of,
    print_warnings,
    reference,
    with_gateway,
)
from meshgate.cli.object_files import FileObject, objects_in
from meshgate.resources.wording import count_of

OF_ANOTHER_SERVER: Final = ("uid", "resourceVersion", "generation", "managedFields", "selfLink", "ownerReferences")
"""The metadata that means nothing to another server."""


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@RECURSIVE
@click.option("--dry-run", is_flag=True, help="Check everything, and change nothing.")
@NAMESPACE
@with_gateway
def command(
    files: tuple[str, ...],
    recursive: bool,
    dry_run: bool,
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Take objects into the local gateway's API, as 'meshgate export' or 'kubectl get -o yaml' wrote them.

    FILE is a file, a folder, or - for standard input. Each object keeps its creationTimestamp, so that the same Gateway
    gets a port that several want; an object that is there already gets the new content. Namespaces that are missing are
    created. What a server makes by itself, such as pods of a Deployment, is left out, and so are kinds that the API
    does not have; each is named. If an object is refused, the others take effect, and the exit status is 1.

    \b
    meshgate export --secrets > backup.yaml;  meshgate import backup.yaml
    kubectl get gw,vs,dr,se,we,svc,endpointslices -A -o yaml | meshgate import -
    """  # noqa: D301 - click's mark for lines to keep
    client = client_of(config, state_dir)
    query = {"fieldManager": "meshgate", **({"dryRun": "All"} if dry_run else {})}
    found = objects_in(files, recursive=recursive)
    wanted = list(_importable(found))
    refused = 0
    try:
        refused += _create_namespaces(client, wanted, namespace, query)
        for each in sorted((each for each in wanted if each.type is not NAMESPACES), key=_order):
            refused += not _import(client, each, namespace, query)
    except ApiClientError as error:
        raise client_error(error) from None
    if refused:
        verb = "was" if refused == 1 else "were"
        raise click.ClickException(f"{count_of(refused, 'object')} of {len(wanted)} {verb} refused; see above")


def _importable(objects: Iterable[FileObject]) -> Iterator[FileObject]:
    """The objects that can be imported; the others are named."""
    for each in objects:
        why = _left_out(each)
        if why:
            click.echo(f"not imported: {each.describe()}: {why}", err=True)
        else:
            yield each


def _left_out(object_: FileObject) -> str:
    """Why an object is not imported; empty if it is."""
    kind = str(object_.document.get("kind", ""))
    if object_.type is None:
        return "the API does not have this kind"
    if not object_.name:
        return "it has no name"
    owners = object_.metadata.get("ownerReferences")
    for owner in owners if isinstance(owners, list) and kind != "EndpointSlice" else ():
        if isinstance(owner, Mapping) and owner.get("controller"):
            return f"it follows from {owner.get('kind')} {owner.get('name')}"
    return "the gateway reports events of its own" if kind == "Event" else object_.type.instead


def _order(object_: FileObject) -> tuple[datetime, int]:
    """By age, since revisions then tell the same order; without one, after all others."""
    text = object_.metadata.get("creationTimestamp")
    try:
        age = datetime.fromisoformat(str(text))
    except ValueError:
        age = datetime.max
    types = [type_.qualified_name for type_ in TYPES]
    position = types.index(object_.type.qualified_name) if object_.type is not None else 0
    return (age if age.tzinfo is not None else age.replace(tzinfo=UTC)), position


def _create_namespaces(
    client: ApiClient, objects: Iterable[FileObject], namespace: str | None, query: Mapping[str, str]
) -> int:
    """Create the namespaces that are missing; returns how many were refused."""
    there = {each["metadata"]["name"] for each in client.list(NAMESPACES)}
    named = {each.name for each in objects if each.type is NAMESPACES}
    wanted = {_namespace(client, each, namespace) for each in objects if each.type is not None and each.type.namespaced}
    missing = sorted(wanted - there - named)
    made = [FileObject("", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}) for name in missing]
    first = [each for each in objects if each.type is NAMESPACES]
    return sum(not _import(client, each, namespace, query) for each in (*first, *made))


def _namespace(client: ApiClient, object_: FileObject, namespace: str | None) -> str:
    return str(namespace or object_.metadata.get("namespace") or client.namespace)


def _import(client: ApiClient, object_: FileObject, namespace: str | None, query: Mapping[str, str]) -> bool:
    """Create or replace one object, and print the outcome; returns False if it was refused."""
    type_ = object_.type
    if type_ is None:
        return False
    where = _namespace(client, object_, namespace) if type_.namespaced else ""
    metadata = {key: value for key, value in object_.metadata.items() if key not in OF_ANOTHER_SERVER}
    if type_.namespaced:
        metadata["namespace"] = where
    content = {key: value for key, value in object_.document.items() if key != "status"}
    body: dict[str, Any] = {**content, "apiVersion": type_.api_version(type_.versions[0]), "metadata": metadata}
    path = address(type_, where, object_.name)
    try:
        before = _present(client, path)
        if before is None:
            reply = client.send("POST", address(type_, where), body, query={**query, "keepCreationTimestamp": "true"})
        else:
            reply = client.send("PUT", path, body, query=query)
    except ApiClientError as error:
        if not error.code:
            raise
        if error.code == 404 and "dryRun" in query:
            click.echo(f"{reference(type_, object_.name)} not checked: the namespace {where} is not there yet")
            return True
        click.echo(f"error: {object_.file}: {error}", err=True)
        return False
    print_warnings(reply.warnings)
    same = before is not None and all(_told(before, key) == _told(reply.object, key) for key in _TOLD)
    outcome = "created" if before is None else "unchanged" if same else "configured"
    click.echo(f"{reference(type_, object_.name)} {outcome}{' (dry run)' * ('dryRun' in query)}")
    return True


_TOLD: Final = ("generation", "labels", "annotations", "finalizers", "ownerReferences")
"""The metadata that changes with an object's content, and with nothing else."""


def _told(object_: Mapping[str, Any], key: str) -> Any:
    return object_["metadata"].get(key) or None


def _present(client: ApiClient, path: str) -> Any:
    """The object at an address; None if there is none."""
    try:
        return client.get(path)
    except ApiClientError as error:
        if error.code != 404:
            raise
        return None
