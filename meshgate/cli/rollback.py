"""``meshgate rollback``: take back a change of the local gateway's API."""

from __future__ import annotations

from pathlib import Path

import click

from meshgate.api.api_client import ApiClientError, address, type_named
from meshgate.cli.api_options import client_error, client_of, print_warnings, reference, with_gateway


@click.command("rollback")
@click.argument("revision", type=int)
@with_gateway
def command(revision: int, config: Path | None, state_dir: Path | None) -> None:
    """Take back a change of the local gateway's API.

    The object becomes what it was before the change with this REVISION; 'meshgate history' shows the revisions. What
    was created is deleted, and what was deleted is created again. Later changes of the same object are lost with it,
    and stay in the history.
    """
    client = client_of(config, state_dir)
    try:
        change = client.get("/history", revision=str(revision))
        type_ = type_named(change["type"])
        if type_ is None:
            raise click.ClickException(f"this meshgate does not have the type {change['type']}")
        name, before = change["name"], change.get("before")
        path = address(type_, change["namespace"], name)
        if before is None:
            client.send("DELETE", path)
            click.echo(f"{reference(type_, name)} deleted")
            return
        metadata = {key: value for key, value in before["metadata"].items() if key not in ("resourceVersion", "uid")}
        body = {**before, "metadata": metadata}
        try:
            client.get(path)
            reply = client.send("PUT", path, body)
        except ApiClientError as error:
            if error.code != 404:
                raise
            reply = client.send("POST", address(type_, change["namespace"]), body)
        print_warnings(reply.warnings)
        click.echo(f"{reference(type_, name)} is as it was before revision {revision}")
    except ApiClientError as error:
        raise client_error(error) from None
