"""Output that the commands share: the option ``--format``, and JSON."""

from __future__ import annotations

import json
from typing import Any

import click

FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output: text for people, json for programs.",
)


def print_json(value: Any) -> None:
    """Print a document for programs."""
    click.echo(json.dumps(value, indent=2, default=str))
