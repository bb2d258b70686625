"""``meshgate diff``: the changes for traffic between two configurations."""

from __future__ import annotations

import click

from meshgate.cli.loading import STANDARD_INPUT
from meshgate.cli.output import FORMAT, print_json
from meshgate.cli.sources import Gateway, gateway_options
from meshgate.report import print_traffic_diff
from meshgate.routing.tell.traffic_diff import diff_traffic


@click.command("diff")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@FORMAT
@gateway_options
def command(gateway: Gateway, old: str, new: str, form: str) -> None:
    """Show what changes for traffic between two configurations.

    OLD and NEW are each a file, a folder, or - for standard input. Changes are ports that open or close, names that
    appear, disappear or lead elsewhere, and other shares, endpoints, refusals and traffic policies. The same routes
    in other words are no change. Exits with 1 if anything changes, and with 0 if nothing does.
    """
    if old == new == STANDARD_INPUT:
        raise click.UsageError("standard input can be read only once")
    before, after = (gateway.source([path]).compile().table for path in (old, new))
    changes = diff_traffic(before, after)
    if form == "json":
        print_json(changes.as_json())
    else:
        print_traffic_diff(changes)
    raise SystemExit(1 if changes else 0)
