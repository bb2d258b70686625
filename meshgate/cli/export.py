"""``meshgate export``: write the objects of the local gateway's API as YAML that kubectl takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from ruamel.yaml import YAML

from meshgate.api.api_client import ApiClient, ApiClientError
from meshgate.api.resource_types import TYPES
from meshgate.cli.api_options import client_error, client_of, with_gateway

LEFT_OUT: Final = (
    *("uid", "resourceVersion", "generation", "managedFields", "selfLink"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)
"""The metadata that belongs to one installation, where an object may also be on its way out."""


@click.command("export")
@click.option("--secrets", is_flag=True, help="Export Secrets as well, with their content.")
@with_gateway
def command(secrets: bool, config: Path | None, state_dir: Path | None) -> None:
    """Write the objects of the local gateway's API as YAML.

    They go to standard output, for 'meshgate import', which keeps their age and so their order, and for 'kubectl apply
    -f'. The resources of files, which are in files already, and the objects that follow from others, such as pods, are
    left out.
    """
    client = client_of(config, state_dir)
    yaml = YAML()
    yaml.explicit_start = True
    try:
        for each in exported(client, secrets=secrets):
            yaml.dump(each, sys.stdout)
    except ApiClientError as error:
        raise client_error(error) from None


def exported(client: ApiClient, *, secrets: bool) -> list[Mapping[str, Any]]:
    """The objects to export, namespaces first."""
    found: list[Mapping[str, Any]] = []
    for type_ in TYPES:
        if type_.instead or (type_.kind == "Secret" and not secrets):
            continue
        for each in client.list(type_, origin="store"):
            metadata = {key: value for key, value in each["metadata"].items() if key not in LEFT_OUT}
            found.append({**{key: value for key, value in each.items() if key != "status"}, "metadata": metadata})
    return found
