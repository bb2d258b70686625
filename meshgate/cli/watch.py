"""``meshgate watch``: show the changes of objects of the local gateway's API as they happen."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import click

from meshgate.api.api_client import ApiClient, ApiClientError, address
from meshgate.api.resource_types import ResourceType
from meshgate.cli.api_options import (
    ALL_NAMESPACES,
    NAMESPACE,
    SELECTOR,
    TABLE,
    client_error,
    client_of,
    complete_type,
    line_of,
    one_selected,
    rows_of,
    with_gateway,
)

GONE: Final = 410
"""The status of a revision that the API has forgotten."""

PAUSE: Final = 1.0
"""Seconds before a watch begins again that the gateway has ended, for instance by its restart."""

PATIENCE: Final = 60.0
"""Seconds for which the gateway may be away."""


@click.command("watch")
@click.argument("arguments", metavar="TYPE [NAME]...", nargs=-1, required=True, shell_complete=complete_type)
@ALL_NAMESPACES
@SELECTOR
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["table", "wide", "json"]),
    default="table",
    show_default=True,
    help="A row for each change, or its event as JSON, one a line.",
)
@NAMESPACE
@with_gateway
def command(
    arguments: tuple[str, ...],
    all_namespaces: bool,
    selector: str,
    form: str,
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Show objects of the local gateway's API, and their changes as they happen, until Ctrl-C.

    A row begins with what happened: ADDED, MODIFIED or DELETED. The watch goes on after a restart of the gateway.

    \b
    meshgate watch gateways -A
    meshgate watch vs echo -o json
    """  # noqa: D301 - click's mark for lines to keep
    type_, names = one_selected(arguments)
    client = client_of(config, state_dir)
    where = "" if all_namespaces else namespace or client.namespace
    query = {"labelSelector": selector} if selector else {}
    try:
        follow(client, type_, where, names, query, "", wide=form == "wide", as_json=form == "json")
    except ApiClientError as error:
        raise client_error(error) from None


def follow(
    client: ApiClient,
    type_: ResourceType,
    where: str,
    names: Collection[str],
    query: Mapping[str, str],
    revision: str,
    *,
    wide: bool,
    as_json: bool = False,
) -> None:
    """
    Print each change, until Ctrl-C or until the reader of a pipe has gone.

    :param names: the names of the objects to show; empty for all.
    :param revision: the revision from which on; empty to begin with the objects as they are.
    :raises ApiClientError: if the gateway refuses, or stays away for too long.
    """
    printer = _Printer(names, wide=wide, namespaces=not where and type_.namespaced, as_json=as_json)
    away = 0.0
    while True:
        try:
            accept = "application/json" if as_json else TABLE
            for event in client.watch(address(type_, where), accept=accept, resourceVersion=revision, **query):
                away = 0.0
                if event["type"] == "ERROR":
                    raise ApiClientError(event["object"].get("message", ""), event["object"].get("code", 0))
                revision = event["object"]["metadata"]["resourceVersion"]
                printer.print(event)
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except BrokenPipeError:
            raise SystemExit(0) from None
        except ApiClientError as error:
            if error.code == GONE:
                revision = ""
            elif error.code or away >= PATIENCE:
                raise
        away += PAUSE
        time.sleep(PAUSE)


class _Printer:
    """Prints events; of a table, the columns keep the widths that they have had so far."""

    def __init__(self, names: Collection[str], *, wide: bool, namespaces: bool, as_json: bool) -> None:
        self._names = names
        self._wide = wide
        self._namespaces = namespaces
        self._as_json = as_json
        self._columns: list[Any] = []
        self._widths: list[int] = []

    def print(self, event: Mapping[str, Any]) -> None:
        """Print an event, unless it is a bookmark or of another object."""
        if event["type"] == "BOOKMARK":
            return
        if self._as_json:
            if not self._names or event["object"]["metadata"]["name"] in self._names:
                click.echo(json.dumps(event))
        else:
            self._print_rows(event)
        sys.stdout.flush()

    def _print_rows(self, event: Mapping[str, Any]) -> None:
        table = event["object"]
        self._columns = table.get("columnDefinitions") or self._columns
        rows = [each for each in table["rows"] if not self._names or each["object"]["metadata"]["name"] in self._names]
        shown = {"columnDefinitions": self._columns, "rows": rows}
        titles, cells = rows_of(shown, wide=self._wide, namespaces=self._namespaces)
        for row in cells:
            line = [event["type"], *row]
            if not self._widths:
                head = ["EVENT", *titles]
                self._widths = [max(8, *map(len, pair)) for pair in zip(head, line, strict=True)]
                click.echo(line_of(head, self._widths))
            self._widths = [max(width, len(text)) for width, text in zip(self._widths, line, strict=True)]
            click.echo(line_of(line, self._widths))
