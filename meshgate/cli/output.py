"""What the commands share when they print: the choice of a format, and JSON."""

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
    help="What to print.",
)


def print_json(value: Any) -> None:
    """A document for programs."""
    click.echo(json.dumps(value, indent=2, default=str))
