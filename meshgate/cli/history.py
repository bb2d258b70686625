"""``meshgate history``: the last changes of the local gateway's API, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from meshgate.api.api_client import ApiClientError
from meshgate.cli.api_options import aligned, client_error, client_of, with_gateway, write_yaml
from meshgate.cli.output import FORMAT, print_json


@click.command("history")
@click.argument("revision", type=int, required=False)
@click.option("--limit", default=20, show_default=True, help="How many changes to show.")
@FORMAT
@with_gateway
def command(revision: int | None, limit: int, form: str, config: Path | None, state_dir: Path | None) -> None:
    """Show the last changes of the local gateway's API: when, who, and what.

    With a REVISION, the object before and after that change is shown; 'meshgate rollback REVISION' takes it back.
    """
    client = client_of(config, state_dir)
    try:
        if revision is not None:
            found = client.get("/history", revision=str(revision))
        else:
            found = client.get("/history", limit=str(limit))
    except ApiClientError as error:
        raise client_error(error) from None
    if form == "json":
        print_json(found)
    elif revision is not None:
        write_yaml(found)
    else:
        rows = [["REVISION", "TIME", "USER", "PROGRAM", "CHANGE", "OBJECT"], *map(_row, found["changes"])]
        for line in aligned(rows):
            click.echo(line)


def _row(change: Mapping[str, Any]) -> list[str]:
    time = datetime.fromtimestamp(change["time"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    program = change["agent"].partition(" ")[0]
    where = f"{change['namespace']}/" if change["namespace"] else ""
    object_ = f"{change['type']} {where}{change['name']}"
    return [str(change["revision"]), time, change["user"], program, change["action"], object_]
