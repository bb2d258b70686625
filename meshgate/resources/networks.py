"""Networks as users write them in access lists: one after the other, and which of them have no effect."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_SEPARATOR: Final = re.compile(r"[\s,]+")
_MAPPED_BITS: Final = 96


class UnusableNetworkError(ValueError):
    """
    A text that is no network.

    :ivar message: what is wrong with it.
    :ivar hint: what to write instead.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def split_networks(text: str) -> tuple[str, ...]:
    """The networks of a text that has commas or white space between them."""
    return tuple(filter(None, _SEPARATOR.split(text)))


def read_network(text: str) -> IPNetwork:
    """
    Parse a network, or an address for the network of it alone. One of IPv4-mapped IPv6 addresses is an IPv4 network.

    :raises UnusableNetworkError: if it is none, or has bits beyond its prefix length.
    """
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        hint = "write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7"
        raise UnusableNetworkError(f'"{text}" is not a network', hint) from None
    network = interface.network
    if interface.ip != network.network_address:
        message = f'"{text}" has bits set beyond its first {network.prefixlen}'
        raise UnusableNetworkError(message, f"did you mean {network}, or {interface.ip} alone?")
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def overlaps(allow: Sequence[str], deny: Sequence[str]) -> Iterator[tuple[bool, int, str, str]]:
    """
    Find the networks that have no effect, since another one covers them.

    :param allow: networks that :func:`read_network` reads; likewise ``deny``, which counts first.
    :return: for each of them, True if it stands in ``allow``, its index, and the list and the text of the other one.
    """
    denied, allowed = _Networks(deny), _Networks(allow)
    for index in range(len(deny)):
        other = denied.over(denied.networks[index], index)
        if other:
            yield False, index, "deny", other
    for index, network in enumerate(allowed.networks):
        other = denied.over(network, None)
        if other:
            yield True, index, "deny", other
            continue
        other = allowed.over(network, index)
        if other:
            yield True, index, "allow", other


class _Networks:
    """The networks of a list, to be found by the networks within them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.networks = list(map(read_network, texts))
        self._texts = texts
        self._first: dict[tuple[int, int, int], int] = {}
        for index, network in enumerate(self.networks):
            self._first.setdefault(_key(network, network.prefixlen), index)
        self._lengths = sorted({network.prefixlen for network in self.networks})

    def over(self, inner: IPNetwork, index: int | None) -> str:
        """
        The text of the widest network that covers one; of equal ones, only the first covers the others. Empty for none.

        :param index: of the network in this list; None if it stands in another one.
        """
        for length in self._lengths:
            if length > inner.prefixlen:
                break
            other = self._first.get(_key(inner, length))
            if other is not None and (index is None or length < inner.prefixlen or other < index):
                return self._texts[other]
        return ""


def _key(network: IPNetwork, length: int) -> tuple[int, int, int]:
    return network.version, length, int(network.network_address) >> (network.max_prefixlen - length)


def overlap_text(text: str, listed: str, other: str, in_allow: bool) -> tuple[str, str]:
    """The message and the hint about a network that has no effect, since another one in a list covers it."""
    if in_allow and listed == "deny":
        message = f"{text} in allow has no effect: {other} in deny covers it, and deny counts first"
        return message, f"leave it out, or deny less than {other}"
    message = (
        f"{text} stands in {listed} twice" if text == other else f"{text} has no effect beside {other} in {listed}"
    )
    return message, "leave it out"
