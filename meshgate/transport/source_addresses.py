"""
The source addresses from which endpoints are dialed.

One source address has some 28,000 local ports for each endpoint (net.ipv4.ip_local_port_range). With more addresses
there can be more connections to one endpoint: dials begin with each address in turn, and go on to the next one if an
address has no port left.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final

BIND_ADDRESS_NO_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""
Socket option that leaves the choice of the port to connect, which takes one that is free for this endpoint; bind takes
one that is free for all endpoints.
"""


class SourceAddresses:
    """
    The source addresses in force; without any, the kernel chooses.

    :ivar given: True if there are any.
    """

    def __init__(self) -> None:
        self.given = False
        self._by_family: dict[int, tuple[str, ...]] = {}
        self._turn = 0

    def follow(self, addresses: Iterable[str]) -> None:
        """
        Use other addresses from now on.

        :param addresses: IP addresses of either family.
        """
        addresses = tuple(addresses)
        self.given = bool(addresses)
        self._by_family = {
            socket.AF_INET: tuple(address for address in addresses if ":" not in address),
            socket.AF_INET6: tuple(address for address in addresses if ":" in address),
        }

    def order(self, family: int) -> tuple[str, ...]:
        """Return a family's addresses in the order in which the next dial tries them; none if the kernel chooses."""
        addresses = self._by_family.get(family, ())
        if len(addresses) < 2:
            return addresses
        self._turn += 1
        first = self._turn % len(addresses)
        return addresses[first:] + addresses[:first]
