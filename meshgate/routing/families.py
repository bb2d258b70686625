"""
Names with addresses of both families, and which family is used of each.

IPv4 comes first, until an IPv6 address answers while an IPv4 address of the same name stays silent; then IPv6 comes
first for a while, and the other way round (RFC 8305, section 4; RFC 6555, section 4.2, has the ten minutes). Pure: the
time comes in.
"""

from __future__ import annotations

import math
from typing import Final

REMEMBERED: Final = 600.0
"""Seconds for which the family that won is used first."""

MOST: Final = 4096
"""How many names are remembered."""


class Families:
    """
    The families that won.

    :ivar changes: counts what :meth:`prefer` has changed.
    """

    def __init__(self) -> None:
        self._won: dict[str, tuple[bool, float]] = {}
        self.changes = 0

    def prefer(self, name: str, ipv6: bool, now: float) -> None:
        """An address of one family has answered while one of the other stayed silent."""
        self._won.pop(name, None)
        self._won[name] = ipv6, now + REMEMBERED
        if len(self._won) > MOST:
            del self._won[next(iter(self._won))]
        self.changes += 1

    def prefers_ipv6(self, name: str, now: float) -> bool:
        """The family whose addresses are used first."""
        ipv6, until = self._won.get(name, (False, 0.0))
        return ipv6 and now < until

    def until(self, name: str, now: float) -> float:
        """Until when that is so; for ever unless something changes."""
        _, until = self._won.get(name, (False, 0.0))
        return until if now < until else math.inf
