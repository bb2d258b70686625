"""``meshgate sniff``: the contents of a captured ClientHello."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.cli.sniffing import sniff


@click.command("sniff")
@FORMAT
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def command(files: tuple[str, ...], form: str) -> None:
    """Show the contents of a captured ClientHello: server name, ALPN and versions.

    FILE has the first bytes that a client has sent; - is standard input.
    """
    try:
        found = [sniff(name, _read(name)) for name in files]
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    if form == "json":
        print_json([one.as_json() for one in found])
    else:
        for one in found:
            click.echo(str(one))


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
