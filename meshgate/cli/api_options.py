"""Options and output that the commands share which speak to the API of the local gateway."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from meshgate.api.api_client import ApiClient, ApiClientError, type_named
from meshgate.api.credentials import KUBECONFIGS
from meshgate.api.resource_types import TYPES, ResourceType
from meshgate.cli.status import default_config, state_dir_of
from meshgate.resources.wording import quoted, spelling_hint

F = TypeVar("F", bound=Callable[..., Any])

NAMESPACE = click.option("-n", "--namespace", help="The namespace. [default: that of the gateway's settings]")


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
    try:
        return ApiClient(folder / KUBECONFIGS["admin"])
    except ApiClientError as error:
        raise click.ClickException(str(error)) from None


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
