"""``meshgate get``: show objects of the local gateway's API."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from ruamel.yaml import YAML

from meshgate.api.api_client import ApiClientError, address
from meshgate.cli.api_options import NAMESPACE, client_of, reference, required_type, with_gateway

FORMS: Final = ("table", "wide", "name", "yaml", "json")
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"


@click.command("get")
@click.argument("type_name", metavar="TYPE")
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="Show the objects of all namespaces.")
@click.option("-l", "--selector", default="", help="Show the objects with these labels, as app=a.")
@click.option("-o", "--output", "form", type=click.Choice(FORMS), default="table", help="The form of the output.")
@click.option("-w", "--watch", is_flag=True, help="Then show each change, until Ctrl-C.")
@NAMESPACE
@with_gateway
def command(
    type_name: str,
    name: str | None,
    all_namespaces: bool,
    selector: str,
    form: str,
    watch: bool,
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Show objects of the local gateway's API: those of one TYPE, or the one with a NAME.

    TYPE is a kind as kubectl takes it, such as gateway, gw, virtualservices, vs, dr, se, we or svc. The objects of
    files and plug-ins are shown as well.
    """
    client, type_ = client_of(config, state_dir), required_type(type_name)
    where = "" if all_namespaces else namespace or client.namespace
    path = address(type_, where, name or "")
    query = {"labelSelector": selector} if selector else {}
    try:
        if form in ("table", "wide"):
            found = client.send("GET", path, accept=TABLE, query=query).object
            print_rows(found, wide=form == "wide", namespaces=all_namespaces and type_.namespaced)
            revision = found["metadata"]["resourceVersion"]
        else:
            objects = [client.get(path)] if name else list(client.list(type_, where, **query))
            print_objects(objects, form, [reference(type_, each["metadata"]["name"]) for each in objects], bool(name))
            revision = ""
        if watch:
            follow(client.watch(address(type_, where), accept=TABLE, resourceVersion=revision, **query), name)
    except ApiClientError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def print_rows(table: Mapping[str, Any], *, wide: bool, namespaces: bool) -> None:
    """Print a table as kubectl does; a sentence where it has no row."""
    columns = list(table["columnDefinitions"])
    shown = [at for at, column in enumerate(columns) if wide or column["priority"] == 0]
    rows = [[str(row["cells"][at]) for at in shown] for row in table["rows"]]
    titles = [columns[at]["name"].upper() for at in shown]
    if namespaces:
        titles = ["NAMESPACE", *titles]
        names = [row["object"]["metadata"].get("namespace", "") for row in table["rows"]]
        rows = [[namespace, *row] for namespace, row in zip(names, rows, strict=True)]
    if not rows:
        click.echo("No objects found.", err=True)
        return
    for line in aligned([titles, *rows]):
        click.echo(line)


def aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Rows with their columns under each other, three blanks between two."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ("   ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def print_objects(objects: Sequence[Mapping[str, Any]], form: str, names: Iterable[str], single: bool) -> None:
    """Print objects as names, YAML or JSON; several of them as a list."""
    if form == "name":
        for each in names:
            click.echo(each)
        return
    content = objects[0] if single else {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    if form == "json":
        click.echo(json.dumps(content, indent=2))
    else:
        write_yaml(content)


def write_yaml(content: Any) -> None:
    """Write a document to standard output."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(content, sys.stdout)


def follow(events: Iterable[Mapping[str, Any]], name: str | None) -> None:
    """Print the row of each event, with its type."""
    for event in events:
        for row in event["object"].get("rows", ()):
            if name in (None, row["cells"][0]):
                click.echo("   ".join([event["type"].ljust(8), *map(str, row["cells"])]))
