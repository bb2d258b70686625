"""``meshgate get``: show objects of the local gateway's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from meshgate.api.api_client import ApiClient, ApiClientError, address
from meshgate.api.resource_types import ResourceType
from meshgate.cli.api_options import (
    ALL_NAMESPACES,
    NAMESPACE,
    OUTPUT,
    SELECTOR,
    TABLE,
    aligned,
    client_error,
    client_of,
    complete_type,
    print_objects,
    reference,
    rows_of,
    selected,
    with_gateway,
)
from meshgate.cli.watch import follow


@click.command("get")
@click.argument("arguments", metavar="TYPE[,TYPE]... [NAME]...", nargs=-1, required=True, shell_complete=complete_type)
@ALL_NAMESPACES
@SELECTOR
@OUTPUT
@click.option("-w", "--watch", is_flag=True, help="Then show each change, until Ctrl-C, as 'meshgate watch' does.")
@NAMESPACE
@with_gateway
def command(
    arguments: tuple[str, ...],
    all_namespaces: bool,
    selector: str,
    form: str,
    watch: bool,
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Show objects of the local gateway's API, those of files and plug-ins among them.

    TYPE is a kind as kubectl takes it, such as gateway, gateways or gw; several have commas between them, and 'all' is
    every type that 'kubectl get all' shows. With NAMEs, only these objects are shown; TYPE/NAME names one as well.

    \b
    meshgate get gw,vs -A
    meshgate get virtualservice echo -o yaml
    meshgate get svc -l app=echo -o wide
    """  # noqa: D301 - click's mark for lines to keep
    wanted = selected(arguments)
    named = any(names for _, names in wanted)
    if named and all_namespaces:
        raise click.UsageError(
            "an object cannot be named across all namespaces: leave out --all-namespaces or the name"
        )
    if named and selector:
        raise click.UsageError("a selector and a name exclude each other")
    if watch and (len(wanted) > 1 or form not in ("table", "wide")):
        raise click.UsageError("--watch shows the objects of one type, as a table")
    client = client_of(config, state_dir)
    where = "" if all_namespaces else namespace or client.namespace
    query = {"labelSelector": selector} if selector else {}
    try:
        if form in ("table", "wide"):
            revision = print_tables(client, wanted, where, query, wide=form == "wide", namespaces=all_namespaces)
            if watch:
                ((type_, names),) = wanted
                follow(client, type_, where, names, query, revision, wide=form == "wide")
        else:
            objects = [
                (type_, each) for type_, names in wanted for each in _objects(client, type_, where, names, query)
            ]
            print_objects(objects, form, single=sum(len(names) for _, names in wanted) == 1)
    except ApiClientError as error:
        raise client_error(error) from None


def _objects(
    client: ApiClient, type_: ResourceType, where: str, names: list[str], query: dict[str, str]
) -> list[dict[str, Any]]:
    if names:
        return [client.get(address(type_, where, name)) for name in names]
    return list(client.list(type_, where, **query))


def print_tables(
    client: ApiClient,
    wanted: list[tuple[ResourceType, list[str]]],
    where: str,
    query: dict[str, str],
    *,
    wide: bool,
    namespaces: bool,
) -> str:
    """Print a table for each type, as kubectl does; returns the revision of the last one."""
    revision, printed = "", False
    for type_, names in wanted:
        paths = [address(type_, where, name) for name in names] or [address(type_, where)]
        prefix = reference(type_, "") if len(wanted) > 1 else ""
        rows: list[list[str]] = []
        for path in paths:
            for table in client.pages(path, TABLE, query):
                titles, more = rows_of(table, wide=wide, namespaces=namespaces and type_.namespaced, prefix=prefix)
                rows += more
                revision = table["metadata"]["resourceVersion"]
        if rows:
            if printed:
                click.echo()
            for line in aligned([titles, *rows]):
                click.echo(line)
            printed = True
    if not printed:
        within = f" in {where} namespace" if where and any(type_.namespaced for type_, _ in wanted) else ""
        click.echo(f"No resources found{within}{'.' * bool(within)}", err=True)
    return revision
