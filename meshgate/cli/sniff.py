"""``meshgate sniff``: the contents of a captured ClientHello."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.resources.wording import count_of
from meshgate.wire.clienthello import ClientHello, HelloError, NotTLS, parse_hello, version_name


@click.command("sniff")
@FORMAT
@click.argument("files", metavar="FILE...", type=click.Path(), nargs=-1, required=True)
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


@dataclass(frozen=True, slots=True)
class Sniffed:
    """
    The facts of one ClientHello.

    :ivar verdict: ``ok``, ``no_sni``, ``need_more`` (the input ends too early), ``not_tls`` or ``invalid``.
    :ivar reason: for all verdicts but the first two.
    """

    file: str
    verdict: str
    sni: str | None = None
    alpn: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    ech: bool = False
    records: int = 0
    size: int = 0
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        if self.verdict not in ("ok", "no_sni"):
            return f"{self.file}: {self.verdict}" + (f": {self.reason}" if self.reason else "")
        facts = [
            f"server name {self.sni}" if self.sni else "no server name",
            f"ALPN {', '.join(self.alpn)}" if self.alpn else "no ALPN",
            ", ".join(self.versions) or "no known version",
            f"{count_of(self.size, 'byte')} in {count_of(self.records, 'record')}",
        ]
        if self.ech:
            facts.append("with an encrypted ClientHello (or GREASE), so that the server name may be a public one")
        return f"{self.file}: {self.verdict}: " + "; ".join(facts)


def sniff(file: str, data: bytes) -> Sniffed:
    """
    Parse the first bytes of a client, as the gateway would.

    :param file: the name to show.
    """
    try:
        hello = parse_hello(data)
    except NotTLS as error:
        return Sniffed(file, "not_tls", reason=str(error))
    except HelloError as error:
        return Sniffed(file, "invalid", reason=str(error))
    if hello is None:
        return Sniffed(file, "need_more", reason=f"the ClientHello is longer than {count_of(len(data), 'byte')}")
    return _facts(file, hello)


def _facts(file: str, hello: ClientHello) -> Sniffed:
    return Sniffed(
        file,
        "ok" if hello.sni else "no_sni",
        sni=hello.sni,
        alpn=hello.alpn,
        versions=tuple(version_name(version) for version in hello.versions),
        ech=hello.ech,
        records=hello.records,
        size=hello.size,
    )
