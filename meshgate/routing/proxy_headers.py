"""
PROXY headers as records of the routing table: what a listener expects, and what an endpoint gets.

The records are immutable and picklable, as the table is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshgate.routing.addresses import Network, address, leading


@dataclass(frozen=True, slots=True)
class ExpectedHeader:
    """
    The PROXY header that the connections of a listener begin with.

    :ivar required: connections without one are closed; otherwise they are served as they are.
    :ivar trusted: the networks of the load balancers whose headers count.
    :ivar origin: who asks for it, as text for people.
    """

    required: bool
    trusted: tuple[Network, ...]
    origin: str = ""

    def trusts(self, host: str) -> bool:
        """Return True if headers from an address count; everybody who may open a Unix socket is trusted."""
        number = address(host)
        if number is None:
            return True
        return any(leading(number, network.length) == network.bits for network in self.trusted)

    def __str__(self) -> str:
        trusted = ", ".join(map(str, self.trusted)) or "nobody"
        return f"PROXY header, {'required' if self.required else 'optional'}, from {trusted}"


@dataclass(frozen=True, slots=True)
class HeaderForEndpoint:
    """
    The PROXY header that an endpoint gets before the client's bytes. Fields after the addresses are of version 2.

    :ivar version: 1 or 2.
    :ivar authority: it has the server name that the client has asked for.
    :ivar alpn: it has the protocol that the client wants most.
    :ivar unique_id: it has an identity of the connection, which begins with its number in the access log.
    """

    version: int = 1
    authority: bool = False
    alpn: bool = False
    unique_id: bool = False

    def __str__(self) -> str:
        fields = {"authority": self.authority, "alpn": self.alpn, "unique-id": self.unique_id}
        added = ", ".join(name for name, wanted in fields.items() if wanted)
        return f"a PROXY header of version {self.version} first" + (f", with {added}" if added else "")


@dataclass(frozen=True, slots=True)
class HeaderDefaults:
    """
    The settings about PROXY headers: whose count, and where they are expected if no Gateway says it.

    :ivar trusted: the networks of load balancers; None if no settings were read, so that nobody knows.
    :ivar mode: ``none``, ``optional`` or ``strict``, for all ports but these.
    :ivar optional_ports: ports of listeners.
    :ivar strict_ports: likewise.
    """

    trusted: tuple[Network, ...] | None = None
    mode: str = "none"
    optional_ports: frozenset[int] = frozenset()
    strict_ports: frozenset[int] = frozenset()

    def mode_of(self, port: int) -> str:
        """Return the mode for a port."""
        if port in self.strict_ports:
            return "strict"
        return "optional" if port in self.optional_ports else self.mode

    def header(self, mode: str, origin: str) -> ExpectedHeader | None:
        """Return the header of a mode; None for the mode ``none``."""
        if mode == "none":
            return None
        return ExpectedHeader(mode == "strict", self.trusted or (), origin)


NO_HEADERS: Final = HeaderDefaults()
"""No header is sent or expected: the defaults without settings."""
