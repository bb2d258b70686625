"""``meshgate init``: write an installation to start from."""

from __future__ import annotations

from pathlib import Path

import click

from meshgate.cli.installation import InstallationError, write_installation


@click.command("init")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def command(directory: Path) -> None:
    """Write the default installation, the lab, into DIRECTORY.

    Existing files are never overwritten.
    """
    try:
        written = write_installation(directory)
    except InstallationError as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(path)
    click.echo(f"\nStart it:  twistd -n meshgate --config {directory / 'meshgate.yaml'}")
