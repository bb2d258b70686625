"""``meshgate init``: write the default installation, the lab, into a folder."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

SETTINGS_FILE = "meshgate.yaml"
ROUTES_FOLDER = "routes"


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


class InstallationError(Exception):
    """The installation cannot be written. The message is for people."""


def write_installation(directory: Path) -> list[Path]:
    """
    Copy the settings file and the routes that come with the package. If one of the files exists, none is written.

    :param directory: made with its parents if it does not exist.
    :return: the files, the settings first.
    :raises InstallationError: if one of the files exists, or the folder cannot be written to.
    """
    shipped = {directory / name: source for name, source in _shipped_files().items()}
    try:
        existing = [path for path in shipped if path.exists() or path.is_symlink()]
        if existing:
            names = "".join(f"\n  {path}" for path in existing)
            raise InstallationError(f"nothing was written, because these files exist already:{names}")
        for path, source in shipped.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            # "x": not even a file that has appeared meanwhile is overwritten.
            with path.open("xb") as file:
                file.write(source.read_bytes())
    except OSError as error:
        raise InstallationError(f"{error.filename or directory} cannot be written: {error.strerror}") from error
    return list(shipped)


def _shipped_files() -> dict[str, Traversable]:
    """
    Return the files of an installation by their relative names. In a checkout the folder is etc/, where a lab may have
    left its state, and private keys in it: so nothing else is copied.
    """
    defaults = files("meshgate") / "defaults"
    routes = sorted((defaults / ROUTES_FOLDER).iterdir(), key=lambda route: route.name)
    return {
        SETTINGS_FILE: defaults / SETTINGS_FILE,
        **{f"{ROUTES_FOLDER}/{route.name}": route for route in routes if route.name.endswith(".yaml")},
    }
