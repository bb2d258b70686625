"""What ``meshgate sniff`` says of a captured ClientHello."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from meshgate.wire.clienthello import ClientHello, HelloError, NotTLS, parse_hello, version_name


@dataclass(frozen=True, slots=True)
class Sniffed:
    """
    :ivar verdict: ``ok``, ``no_sni``, ``need_more`` (the input ended early), ``not_tls`` or ``invalid``.
    :ivar reason: what is wrong, for the last two.
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
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        if self.verdict not in ("ok", "no_sni"):
            return f"{self.file}: {self.verdict}" + (f": {self.reason}" if self.reason else "")
        facts = [
            f"server name {self.sni}" if self.sni else "no server name",
            f"ALPN {', '.join(self.alpn)}" if self.alpn else "no ALPN",
            ", ".join(self.versions) or "no known version",
            f"{self.size} bytes in {self.records} record{'s' if self.records > 1 else ''}",
        ]
        if self.ech:
            facts.append("an encrypted ClientHello (or GREASE for one), so the name may be the outer one")
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
        return Sniffed(file, "need_more", reason=f"{len(data)} bytes are not the whole ClientHello")
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
