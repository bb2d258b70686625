"""
Addresses as text, and as numbers for looking up the longest network that an address is in.

An address is a number of 129 bits, the first of which tells IPv4 from IPv6; a network is the number of its leading bits
with those bits. No network at all has no bits, and holds every address.
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

BITS: Final = 129


class Network(NamedTuple):
    """
    The leading bits that all addresses of a network share.

    :ivar length: how many there are.
    :ivar bits: what they are.
    """

    length: int
    bits: int

    def __str__(self) -> str:
        number = self.bits << (BITS - self.length)
        if number >> 128:
            return str(ipaddress.IPv4Network(((number >> 96) & 0xFFFFFFFF, self.length - 1)))
        return str(ipaddress.IPv6Network((number, max(self.length - 1, 0))))


EVERYWHERE: Final = Network(0, 0)
"""Holds every address, and connections of which no address is known."""


def network(text: str) -> Network | None:
    """
    The network that a text means; None for a text that means none.

    :param text: as ``10.1.0.0/16``, or a single address; bits beyond the length do not matter.
    """
    try:
        parsed = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    length = parsed.prefixlen + 1
    return Network(length, address_bits(parsed.network_address) >> (BITS - length))


def address(text: str) -> int | None:
    """The number of an address; None for a text that is none."""
    try:
        return address_bits(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def address_bits(parsed: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """The number of a parsed address; an IPv4 address within IPv6 is the IPv4 address."""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return int(parsed)
        parsed = parsed.ipv4_mapped
    return 1 << 128 | int(parsed) << 96


def host_port(host: str, port: int) -> str:
    """A host and a port as one text, with an IPv6 address in brackets: ``[::1]:443``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def leading(number: int | None, length: int) -> int | None:
    """The leading bits of an address; None where there is no address to have them."""
    if length == 0:
        return 0
    return None if number is None else number >> (BITS - length)
