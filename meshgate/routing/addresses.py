"""
IP addresses as text, and as numbers in which the longest matching network is looked up.

An address is a number of 129 bits: a bit for the family, 1 for IPv4, and 128 bits for the address, of which IPv4 uses
the upper 32. A network is a number of leading bits and their value. So one comparison of leading bits works for both
families, and the network of no bits holds every address.
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

BITS: Final = 129
"""The bits of an address, that of the family included."""

_IPV4: Final = 1 << 128
_MAPPED_BITS: Final = 96
"""The number of upper bits that make an IPv6 address stand for an IPv4 address."""


class Network(NamedTuple):
    """
    A network, as the leading bits that all its addresses share.

    :ivar length: the number of leading bits, that of the family included; 0 for the network of all addresses.
    :ivar bits: their value.
    """

    length: int
    bits: int

    def __str__(self) -> str:
        number = self.bits << (BITS - self.length)
        if number >> 128:
            return str(ipaddress.IPv4Network(((number >> 96) & 0xFFFFFFFF, self.length - 1)))
        return str(ipaddress.IPv6Network((number, max(self.length - 1, 0))))


EVERYWHERE: Final = Network(0, 0)
"""The network that holds every address, also an unknown one."""


def network(text: str) -> Network | None:
    """
    Parse a network.

    :param text: a network, as ``10.1.0.0/16``, or a single address; bits beyond the prefix length are ignored.
    :return: None if the text is no network.
    """
    try:
        parsed = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    length = parsed.prefixlen + 1
    if isinstance(parsed, ipaddress.IPv6Network) and parsed.network_address.ipv4_mapped and length > _MAPPED_BITS:
        length -= _MAPPED_BITS
    return Network(length, address_bits(parsed.network_address) >> (BITS - length))


def address(text: str) -> int | None:
    """Parse an address, with or without a scope; None if the text is no address."""
    try:
        return address_bits(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def address_bits(parsed: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """The number of a parsed address; an IPv4-mapped IPv6 address counts as the IPv4 address."""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return int(parsed)
        parsed = parsed.ipv4_mapped
    return _IPV4 | int(parsed) << 96


UNIX_PREFIX: Final = "unix://"
"""The beginning of the address of a Unix socket, which has no port."""


def socket_text(address: str, port: int) -> str:
    """Format an address and a port as :func:`host_port`; a Unix socket as ``unix:///path``, without a port."""
    return address if address.startswith(UNIX_PREFIX) else host_port(address, port)


def host_port(host: str, port: int) -> str:
    """Format a host and a port, with an IPv6 address in brackets: ``[::1]:443``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def leading(number: int | None, length: int) -> int | None:
    """The leading bits of an address; None if the address is unknown, unless no bits are asked for."""
    if length == 0:
        return 0
    return None if number is None else number >> (BITS - length)
