"""
Preferred address families of DNS names that have addresses of both, IPv4 and IPv6.

IPv4 is preferred until an IPv6 address of the same name answers while an IPv4 address stays silent. The name then
prefers IPv6 for ten minutes, and likewise the other way round (RFC 8305, section 4; RFC 6555, section 4.2, has the ten
minutes). Pure: the time is an argument.
"""

from __future__ import annotations

import math
from typing import Final

REMEMBERED: Final = 600.0
"""Seconds for which a name prefers the family that won."""

MOST: Final = 4096
"""The number of names that are remembered; the oldest is dropped for a new one."""


class Families:
    """
    The preferred family of each name.

    :ivar changes: the number of calls of :meth:`prefer`, by which a caller sees that its preferences are old.
    """

    def __init__(self) -> None:
        self._won: dict[str, tuple[bool, float]] = {}
        self.changes = 0

    def prefer(self, name: str, ipv6: bool, now: float) -> None:
        """Prefer a family, because its address of a name has answered while the other family's stayed silent."""
        self._won.pop(name, None)
        self._won[name] = ipv6, now + REMEMBERED
        if len(self._won) > MOST:
            del self._won[next(iter(self._won))]
        self.changes += 1

    def prefers_ipv6(self, name: str, now: float) -> bool:
        """True if a name prefers IPv6, False if IPv4."""
        ipv6, until = self._won.get(name, (False, 0.0))
        return ipv6 and now < until

    def until(self, name: str, now: float) -> float:
        """The time until which a name has its preference; infinity for the preference of IPv4 from the start."""
        _, until = self._won.get(name, (False, 0.0))
        return until if now < until else math.inf
