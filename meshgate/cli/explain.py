"""``meshgate explain``: the way of one connection, or of many that a file lists."""

from __future__ import annotations

import json
from typing import Any

import click

from meshgate.cli.loading import STANDARD_INPUT
from meshgate.cli.output import FORMAT
from meshgate.cli.sources import Source, route_options
from meshgate.report import print_explanation
from meshgate.resources.model import UNIX_PREFIX
from meshgate.routing.addresses import address
from meshgate.routing.tell.explain import Call, explain

CALL_KEYS = '"port", "bind", "tls", "sni", "source" and "destination"'


@click.command("explain")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="The port that the client connects to: of the Service in front of the gateway, or of the gateway itself.",
)
@click.option("--bind", metavar="IP", help="The listener's own bind address. [default: unset]")
@click.option("--sni", metavar="NAME", help="The server name of the ClientHello. [default: none]")
@click.option(
    "--from",
    "--source",
    "source_address",
    metavar="IP",
    default="",
    help="The client's address, for access lists, and for rules by address with --semantics extended.",
)
@click.option(
    "--destination",
    metavar="IP",
    default="",
    help="The address that the client connects to, with --semantics extended.",
)
@click.option("--plain", is_flag=True, help="The client does not speak TLS.")
@click.option(
    "--calls",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Explain many connections: JSON objects with port, bind, tls, sni, source and destination, one a line.",
)
@FORMAT
@route_options
def command(
    source: Source,
    port: int | None,
    bind: str | None,
    sni: str | None,
    source_address: str,
    destination: str,
    plain: bool,
    calls: str | None,
    form: str,
) -> None:
    """Explain step by step where a connection goes.

    What was dropped or ignored on the way is listed below the steps.

    \b
    meshgate explain --port 31443 --sni simple-sni-1.istioinaction.io etc/routes
    meshgate explain --port 31400 --plain etc/routes
    """  # noqa: D301 - click's mark for lines to keep
    if (port is None) == (calls is None):
        raise click.UsageError("give either --port for one connection, or --calls FILE for many")
    if plain and sni:
        raise click.UsageError("--plain and --sni exclude each other: a client without TLS sends no server name")
    if sni and not sni.isascii():
        raise click.UsageError(f"{sni!r} is not a server name: clients send names in ASCII, as xn--…")
    for text in filter(None, (bind, source_address, destination)):
        if address(text) is None and not text.startswith(UNIX_PREFIX):
            raise click.UsageError(f"{text!r} is not an IP address")
    if calls == STANDARD_INPUT and STANDARD_INPUT in source.paths:
        raise click.UsageError("standard input can be read only once")
    one = Call(port or 0, bind, not plain, sni, source_address, destination)
    wanted = _read_calls(calls) if calls is not None else [one]
    _, compilation = source.answer()
    for call in wanted:
        explanation = explain(compilation, call, source.access)
        if form == "json":
            click.echo(json.dumps(explanation.as_json()))
        else:
            print_explanation(call, explanation)


def _read_calls(name: str) -> list[Call]:
    """Read the whole file, so that a broken line is reported before any answer."""
    calls = []
    try:
        with click.open_file(name, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    call = _call(line)
                    if call is None:
                        raise click.UsageError(f"{name}: line {number} is not a JSON object with {CALL_KEYS}")
                    calls.append(call)
    except OSError as error:
        raise click.UsageError(f"{name}: {error.strerror}") from None
    return calls


def _call(line: str) -> Call | None:
    try:
        values: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    port, bind, tls, sni = values.get("port"), values.get("bind"), values.get("tls", True), values.get("sni")
    ends = values.get("source", ""), values.get("destination", "")
    texts = all(isinstance(text, (str, type(None))) for text in (bind, sni, *ends))
    if type(port) is not int or not isinstance(tls, bool) or not texts:
        return None
    return Call(port, bind, tls, sni, ends[0] or "", ends[1] or "")
