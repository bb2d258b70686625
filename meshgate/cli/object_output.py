"""Output of the API's objects: kubectl's tables, YAML, JSON and names."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import click
from ruamel.yaml import YAML

from meshgate.api.resource_types import ResourceType
from meshgate.cli.api_options import reference

FORMS: Final = ("table", "wide", "name", "yaml", "json")

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
"""The media type of a table."""

OUTPUT = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(FORMS),
    default="table",
    show_default=True,
    help="The form: a table, with more columns (wide), names alone, or the objects as YAML or JSON.",
)

_GAP: Final = "   "


def rows_of(
    table: Mapping[str, Any], *, wide: bool, namespaces: bool, prefix: str = ""
) -> tuple[list[str], list[list[str]]]:
    """
    The titles and the rows of a table as kubectl shows them.

    :param namespaces: begin with the namespace of each object.
    :param prefix: what stands before each name, where several types are shown.
    """
    columns = list(table["columnDefinitions"] or ())
    shown = [at for at, column in enumerate(columns) if wide or column["priority"] == 0]
    titles = [columns[at]["name"].upper() for at in shown]
    rows = []
    for row in table["rows"]:
        cells = [str(row["cells"][at]) for at in shown]
        if prefix and titles[:1] == ["NAME"]:
            cells[0] = f"{prefix}{cells[0]}"
        rows.append([row["object"]["metadata"].get("namespace", ""), *cells] if namespaces else cells)
    return (["NAMESPACE", *titles] if namespaces else titles), rows


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns under each other, three blanks between two."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return (line_of(row, widths) for row in rows)


def line_of(row: Sequence[str], widths: Sequence[int]) -> str:
    """One row, each cell at least as wide as its column."""
    return _GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def print_objects(objects: Sequence[tuple[ResourceType, Mapping[str, Any]]], form: str, *, single: bool) -> None:
    """
    Print objects as names, YAML or JSON.

    :param single: print the one object by itself, and not a list of it.
    """
    if form == "name":
        for type_, each in objects:
            click.echo(reference(type_, each["metadata"]["name"]))
        return
    items = [without_managers(each) for _, each in objects]
    content = items[0] if single else {"apiVersion": "v1", "kind": "List", "items": items}
    if form == "json":
        click.echo(json.dumps(content, indent=4, sort_keys=True))
    else:
        write_yaml(json.loads(json.dumps(content, sort_keys=True)))


def without_managers(object_: Mapping[str, Any]) -> dict[str, Any]:
    """An object without the list of the clients that manage its fields, which kubectl hides as well."""
    metadata = {key: value for key, value in object_["metadata"].items() if key != "managedFields"}
    return {**object_, "metadata": metadata}


def write_yaml(content: Any) -> None:
    """Write a document to standard output."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(content, sys.stdout)


def indented(lines: Iterable[str], blanks: int) -> Iterator[str]:
    """Lines with blanks before each."""
    return (f"{' ' * blanks}{line}".rstrip() for line in lines)
