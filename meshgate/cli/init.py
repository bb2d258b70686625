"""
``meshgate init``: write a new installation, or the package of a route provider, into a folder.

An installation is the lab, or the tutorial: a lab without a route, and the files that a reader applies with kubectl.
The package is the one that the documentation explains ("Write a route provider"), with the type that the user has
chosen in place of ``inventory``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from shlex import quote
from typing import Final

import click

SETTINGS_FILE = "meshgate.yaml"
ROUTES_FOLDER = "routes"

TEMPLATE_TYPE: Final = "inventory"
"""The provider type of the template, which the user's type takes the place of."""

TEMPLATE_FILES: Final = (
    "README.md",
    "pyproject.toml",
    "meshgate_inventory/__init__.py",
    "meshgate_inventory/documents.py",
    "meshgate_inventory/provider.py",
    "meshgate_inventory/tests/__init__.py",
    "meshgate_inventory/tests/test_provider.py",
    "twisted/plugins/meshgate_inventory_plugin.py",
    "meshgate.yaml",
    "hosts.json",
)

_TYPE_NAME: Final = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*")


@click.command("init")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--provider", "type_name", metavar="NAME", help="Write the package of a route provider of this type.")
@click.option("--tutorial", is_flag=True, help="Write the lab of the tutorial, in which kubectl brings the routes.")
def command(directory: Path, type_name: str | None, tutorial: bool) -> None:
    """Write a new installation, or the package of a route provider.

    It is written into DIRECTORY. The installation is the lab; with --tutorial, it is a lab without a route, together
    with the files that the tutorial has you apply with kubectl. With --provider, it is a Python package instead: a
    route provider of the type NAME that reads a JSON file, with settings and tests, ready to install and to change.

    Existing files are never overwritten.
    """
    if tutorial and type_name is not None:
        raise click.UsageError("--tutorial and --provider write different things: choose one")
    try:
        if tutorial:
            written = write_tutorial(directory)
        else:
            written = write_installation(directory) if type_name is None else write_provider(directory, type_name)
    except InitError as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(path)
    click.echo()
    if type_name is not None:
        click.echo(f"Install it:  python -m pip install --editable {quote(str(directory))}")
        click.echo(f"Test it:  python -m twisted.trial {module_name(type_name)}")
    if tutorial:
        click.echo(f"Go there:  cd {quote(str(directory))}; export KUBECONFIG=$PWD/state/kubeconfig")
    click.echo(f"Start it:  twistd -n meshgate --config {quote(str(directory / SETTINGS_FILE))}")


class InitError(Exception):
    """The files cannot be written. The message is for people."""


def write_installation(directory: Path) -> list[Path]:
    """
    Copy the settings file and the routes that come with the package. If one of the files exists, none is written.

    :param directory: made with its parents if it does not exist.
    :return: the files, the settings first.
    :raises InitError: if one of the files exists, or the folder cannot be written to.
    """
    return _write(directory, {name: source.read_bytes() for name, source in _shipped_files().items()})


def write_tutorial(directory: Path) -> list[Path]:
    """
    Write the lab of the tutorial. If one of its files exists, none is written.

    :param directory: made with its parents if it does not exist.
    :return: the files.
    :raises InitError: if one of the files exists, or the folder cannot be written to.
    """
    from meshgate.lab.certificates import CertificatesError
    from meshgate.lab.tutorial import tutorial_files  # imports cryptography, which an installation does not need

    try:
        return _write(directory, tutorial_files(directory, datetime.now(UTC)))
    except CertificatesError as error:
        raise InitError(str(error)) from None


def write_provider(directory: Path, type_name: str) -> list[Path]:
    """
    Write the package of a route provider. If one of its files exists, none is written.

    :param directory: made with its parents if it does not exist.
    :param type_name: the type of the provider in the settings.
    :return: the files.
    :raises InitError: if the type cannot be used, one of the files exists, or the folder cannot be written to.
    """
    from meshgate.providers.registry import find_factories  # imports Twisted, which an installation does not need

    if not _TYPE_NAME.fullmatch(type_name):
        raise InitError(
            f"{type_name!r} cannot be the type of a provider: write at most 40 lower-case letters, digits and dashes, "
            "beginning with a letter, such as my-database"
        )
    if type_name in find_factories().types:
        raise InitError(f"there is a provider of the type {type_name!r} already; choose another name")
    return _write(directory, _provider_files(type_name))


def _write(directory: Path, contents: Mapping[str, bytes]) -> list[Path]:
    paths = {directory / name: content for name, content in contents.items()}
    try:
        existing = [path for path in paths if path.exists() or path.is_symlink()]
        if existing:
            names = "".join(f"\n  {path}" for path in existing)
            raise InitError(f"nothing was written, because these files exist already:{names}")
        for path, content in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            # "x": not even a file that has appeared meanwhile is overwritten.
            with path.open("xb") as file:
                file.write(content)
    except OSError as error:
        raise InitError(f"{error.filename or directory} cannot be written: {error.strerror}") from error
    return list(paths)


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


def module_name(type_name: str) -> str:
    """The name of the module of a provider's package."""
    return f"meshgate_{type_name.replace('-', '_')}"


def _provider_files(type_name: str) -> dict[str, bytes]:
    """Return the contents of a provider's package by their relative names."""
    names = {
        module_name(TEMPLATE_TYPE): module_name(type_name),
        TEMPLATE_TYPE.capitalize(): "".join(word.capitalize() for word in type_name.split("-")),
        TEMPLATE_TYPE: type_name,
    }
    words = re.compile("|".join(names))

    def renamed(text: str) -> str:
        return words.sub(lambda word: names[word[0]], text)

    template = files("meshgate") / "provider_template"
    return {renamed(name): renamed((template / name).read_text("utf-8")).encode() for name in TEMPLATE_FILES}
