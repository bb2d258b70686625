"""The options that the commands of the API share, and their output: kubectl's tables, YAML, JSON and names."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from ruamel.yaml import YAML

from meshgate.api.api_client import ApiClient, ApiClientError, type_named
from meshgate.api.credentials import KUBECONFIGS
from meshgate.api.resource_types import TYPES, ResourceType
from meshgate.cli.status import NOT_RUNNING, default_config, state_dir_of
from meshgate.resources.wording import quoted, spelling_hint
from meshgate.state.folder import holder

F = TypeVar("F", bound=Callable[..., Any])

NAMESPACE = click.option("-n", "--namespace", help="The namespace. [default: that of the gateway's settings]")
ALL_NAMESPACES = click.option("-A", "--all-namespaces", is_flag=True, help="Show the objects of all namespaces.")
SELECTOR = click.option(
    "-l", "--selector", default="", help="Show the objects with these labels, as app=a,tier!=b or 'app in (a, b)'."
)
FILES = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    metavar="FILE",
    help="A file of YAML or JSON, a folder with such files, or - for standard input; may be given several times.",
)
RECURSIVE = click.option("-R", "--recursive", is_flag=True, help="Read the folders within folders, too.")


class NotRunningError(click.ClickException):
    """No gateway runs, so that there is nobody to ask."""

    exit_code = NOT_RUNNING


def with_gateway(command: F) -> F:
    """Give a command the options that name the local gateway; it gets ``config`` and ``state_dir``."""
    for option in (
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="The settings file of the running gateway. [default: ./meshgate.yaml, or else etc/meshgate.yaml]",
        ),
        click.option(
            "--state-dir",
            type=click.Path(file_okay=False, path_type=Path),
            help="The state folder of the running gateway, in place of its settings.",
        ),
    ):
        command = option(command)
    return command


def client_of(config: Path | None, state_dir: Path | None) -> ApiClient:
    """
    The client of the local gateway's API.

    :raises ClickException: if there is none.
    """
    if config is not None and state_dir is not None:
        raise click.UsageError("--config and --state-dir exclude each other: the settings name the state folder")
    folder = state_dir if state_dir is not None else state_dir_of(config or default_config())
    if holder(folder).held is False:
        raise NotRunningError(
            f"no gateway runs with the state folder {folder}: start it with 'twistd -n meshgate --config FILE'"
        )
    if not (folder / KUBECONFIGS["admin"]).exists():
        raise click.ClickException(
            f"the gateway with the state folder {folder} has no API: give its settings a section api, as in "
            "'api: {}', and restart it"
        )
    try:
        return ApiClient(folder / KUBECONFIGS["admin"])
    except ApiClientError as error:
        raise click.ClickException(str(error)) from None


def complete_type(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a type, also behind a comma."""
    before, comma, last = incomplete.rpartition(",")
    types = [type_ for type_ in TYPES if type_.listed]
    names = [name for type_ in types for name in (type_.plural, type_.singular, *type_.short_names)]
    return [f"{before}{comma}{name}" for name in ("all", *names) if name.startswith(last.lower())]


def client_error(error: ApiClientError) -> click.ClickException:
    """An error of the API as the error of a command."""
    return click.ClickException(str(error)) if error.code else NotRunningError(str(error))


def selected(arguments: Sequence[str]) -> list[tuple[ResourceType, list[str]]]:
    """
    The types and names that a user means: ``gw,vs``, ``gw echo other``, ``gw/echo vs/echo``, or ``all``.

    :raises UsageError: if a type is not known, or both forms are mixed.
    """
    if any("/" in each for each in arguments):
        found: dict[str, tuple[ResourceType, list[str]]] = {}
        for each in arguments:
            type_name, slash, name = each.partition("/")
            if not (slash and type_name and name):
                raise click.UsageError(f"{quoted(each)} is no TYPE/NAME, which the others are")
            type_ = required_type(type_name)
            found.setdefault(type_.qualified_name, (type_, []))[1].append(name)
        return list(found.values())
    types, *names = arguments
    wanted: list[ResourceType] = []
    for each in filter(None, types.split(",")):
        category = [type_ for type_ in TYPES if each in type_.categories]
        wanted += [type_ for type_ in category or [required_type(each)] if type_ not in wanted]
    if not wanted:
        raise click.UsageError("name a type, as gateway")
    return [(type_, list(dict.fromkeys(names))) for type_ in wanted]


def one_selected(arguments: Sequence[str]) -> tuple[ResourceType, list[str]]:
    """
    The one type and the names that a user means.

    :raises UsageError: if there are several types.
    """
    found = selected(arguments)
    if len(found) > 1:
        raise click.UsageError("name one type")
    return found[0]


def required_type(text: str) -> ResourceType:
    """
    The type with a name as people write it.

    :raises UsageError: if there is none, with the nearest one.
    """
    found = type_named(text)
    if found is None:
        names = [name for each in TYPES for name in (each.plural, each.singular, *each.short_names)]
        raise click.UsageError(f"there is no type {quoted(text)}; {spelling_hint(text.lower(), names)}")
    return found


def reference(type_: ResourceType, name: str) -> str:
    """An object as kubectl names it: ``gateway.networking.istio.io/echo``."""
    return f"{type_.singular}.{type_.group}/{name}" if type_.group else f"{type_.singular}/{name}"


def print_warnings(warnings: Iterable[str]) -> None:
    """Print the warnings of an answer to standard error."""
    for warning in warnings:
        click.echo(f"{click.style('Warning:', fg='yellow')} {warning}", err=True, color=_colors())


def _colors() -> bool | None:
    context = click.get_current_context(silent=True)
    return context.color if context is not None and context.color is not None else sys.stderr.isatty()


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
