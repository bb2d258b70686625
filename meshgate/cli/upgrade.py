"""``meshgate upgrade``: have the running gateway replaced by the version that is installed now."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import click

from meshgate.cli.api_options import with_gateway
from meshgate.cli.status import NOT_RUNNING, default_config, state_dir_of
from meshgate.processes.upgrade import WITHIN
from meshgate.state.folder import holder, identity_in

PATIENCE = 10.0
"""Seconds to wait for the outcome, on top of those that the new process has."""

LOOK_EVERY = 0.05


@click.command("upgrade")
@with_gateway
def command(config: Path | None, state_dir: Path | None) -> None:
    """Have the running gateway replaced by the version that is installed now.

    The gateway starts its own command line anew. The new process takes over its ports once it serves, and no
    connection is refused or cut; the old one ends when its connections have ended. If the new process does not come
    up, the old one goes on, and the exit status is 1. If no gateway runs, it is 3.
    """
    folder = state_dir if state_dir is not None else state_dir_of(config or default_config())
    found = holder(folder)
    process = identity_in(found.facts)
    if not found.held or process is None:
        click.echo(f"Error: no gateway runs with the state folder {folder}", err=True)
        raise SystemExit(NOT_RUNNING)
    if not process.lives():
        raise click.ClickException(
            f"process {process.pid} is not to be seen from here; run this command where the gateway runs, in its "
            "container for one"
        )
    number = _number(found.facts)
    if number and "failed" not in found.facts["upgrade"]:
        raise click.ClickException(f"an upgrade of process {process.pid} is running already")
    try:
        os.kill(process.pid, signal.SIGUSR2)
    except OSError as error:
        raise click.ClickException(f"process {process.pid} cannot be told to upgrade: {error.strerror}") from None
    deadline = time.monotonic() + WITHIN + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)
        facts = holder(folder).facts
        now = identity_in(facts)
        if now is None:
            continue  # it is being written
        if now != process:
            click.echo(
                f"process {now.pid}, version {facts.get('version')}, has taken over; process {process.pid} ends with "
                "its connections"
            )
            return
        if _number(facts) > number and "failed" in facts["upgrade"]:
            raise click.ClickException(f"process {process.pid} goes on as before: {facts['upgrade']['failed']}")
        if not process.lives():
            raise click.ClickException(f"process {process.pid} has ended meanwhile; its log says why")
    raise click.ClickException(f"process {process.pid} has told no outcome; its log says more")


def _number(facts: Any) -> int:
    """The number of upgrades that the process has begun."""
    upgrade = facts.get("upgrade")
    return int(upgrade["number"]) if isinstance(upgrade, dict) and "number" in upgrade else 0
