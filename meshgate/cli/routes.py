"""``meshgate routes``: every route in a table."""

from __future__ import annotations

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.cli.sources import Source, route_options
from meshgate.report import print_routes
from meshgate.routing.tell.explain import client_ports
from meshgate.state.status_text import routes


@click.command("routes")
@FORMAT
@route_options
def command(source: Source, form: str) -> None:
    """Show every route in a table.

    A port is that of the gateway; where its Service translates it, the port that clients connect to comes first.
    """
    _, compilation = source.answer()
    table = compilation.table
    rows = [
        {**row, "client_ports": client_ports(compilation, key.port) or [key.port]}
        for key in sorted(table.listeners)
        for row in routes(table.listeners[key])
    ]
    if form == "json":
        print_json(rows)
    else:
        print_routes(rows)
