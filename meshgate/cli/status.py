"""``meshgate status``: the status of the running gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.cli.sources import read_settings
from meshgate.cli.status_report import print_status
from meshgate.state.status_text import read_status

DEFAULT_CONFIG = "etc/meshgate.yaml"

NOT_RUNNING: Final = 3
"""The exit status for a program that does not run, as in init scripts."""


@click.command("status")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The settings file of the running gateway.",
)
@click.option("--all", "everything", is_flag=True, help="List also the resources without a problem, and all names.")
@FORMAT
def command(config: Path, everything: bool, form: str) -> None:
    """Show the status of the running gateway: ports, routes, resources and problems.

    If no gateway runs, the last status is shown, and the exit status is 3; in JSON, running is false.

    A resource is accepted if it is valid and for this gateway, programmed if any of it is in force, and conflicted if
    it and another resource ask for the same. The problems at the end give the reasons in full.
    """
    state_dir = read_settings(config).state_dir
    try:
        document = read_status(state_dir)
    except FileNotFoundError:
        if form == "json":
            print_json({"running": False})
        else:
            click.echo(f"not running: no gateway has run with {config}, since there is no status in {state_dir}")
        raise SystemExit(NOT_RUNNING) from None
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if form == "json":
        print_json(document)
    else:
        print_status(document, everything=everything)
    if not document["running"]:
        raise SystemExit(NOT_RUNNING)
