"""
The addresses from which endpoints are dialed.

One source address has some 28,000 local ports for each endpoint. Whoever needs more connections to one endpoint gives
more addresses: dials begin with each of them in turn, and go on to the next where the ports of one are used up.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final

BIND_ADDRESS_NO_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""
Leaves the choice of the port to connect, which takes one that is free for this endpoint; bind would take one that is
free for all of them.
"""


class SourceAddresses:
    """
    The addresses in force; without any, the kernel chooses.

    :ivar given: there are some.
    """

    def __init__(self) -> None:
        self.given = False
        self._by_family: dict[int, tuple[str, ...]] = {}
        self._turn = 0

    def follow(self, addresses: Iterable[str]) -> None:
        """
        Take other ones from now on.

        :param addresses: IP addresses of both families.
        """
        addresses = tuple(addresses)
        self.given = bool(addresses)
        self._by_family = {
            socket.AF_INET: tuple(address for address in addresses if ":" not in address),
            socket.AF_INET6: tuple(address for address in addresses if ":" in address),
        }

    def order(self, family: int) -> tuple[str, ...]:
        """The addresses of a family in the order in which the next dial tries them; none where the kernel chooses."""
        addresses = self._by_family.get(family, ())
        if len(addresses) < 2:
            return addresses
        self._turn += 1
        first = self._turn % len(addresses)
        return addresses[first:] + addresses[:first]
