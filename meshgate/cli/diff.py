"""``meshgate diff``: the changes for traffic between two configurations."""

from __future__ import annotations

from typing import Final

import click

from meshgate.cli.loading import STANDARD_INPUT
from meshgate.cli.output import FORMAT, print_json
from meshgate.cli.sources import Gateway, gateway_options
from meshgate.report import print_traffic_diff
from meshgate.resources.problem import has_errors
from meshgate.routing.tell.traffic_diff import diff_traffic

BROKEN: Final = 2
"""The exit status if a file cannot be read or a resource is not valid."""


@click.command("diff")
@click.argument("old", metavar="OLD", type=click.Path())
@click.argument("new", metavar="NEW", type=click.Path())
@FORMAT
@gateway_options
def command(gateway: Gateway, old: str, new: str, form: str) -> None:
    """Show what changes for traffic between two configurations.

    OLD and NEW are each a file, a folder, or - for standard input. Changes are ports that open or close, names that
    appear, disappear or lead elsewhere, and other shares, endpoints, refusals, traffic policies and access lists. The
    same routes in other words are no change. Exits with 1 if anything changes, with 0 if nothing does, and with 2 if a
    file cannot be read or one of its resources is not valid.
    """
    if old == new == STANDARD_INPUT:
        raise click.UsageError("standard input can be read only once")
    sides = [gateway.source([path]).answer(unread=BROKEN) for path in (old, new)]
    (_, before), (_, after) = sides
    changes = diff_traffic(before.table, after.table)
    if form == "json":
        print_json(changes.as_json())
    else:
        print_traffic_diff(changes)
    if any(has_errors(loaded.problems) for loaded, _ in sides):
        raise SystemExit(BROKEN)
    raise SystemExit(1 if changes else 0)
