"""
Access lists: the clients that may connect, by their addresses.

The problem: a list may have ten thousand networks, and every connection is looked up in it, those of an attacker above
all.

The approach: the networks of a list are merged to ranges of addresses that do not overlap, in order, so that one binary
search finds the only range that may hold an address, however many there are.

The rules are those of Istio's AuthorizationPolicy: an address that is denied is refused, whatever is allowed; if
anything is allowed, an address that is not is refused as well. An address that cannot be read is in no network.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from meshgate.routing.addresses import BITS, Network, network


@dataclass(frozen=True, slots=True)
class AddressSet:
    """
    A set of addresses, as ranges that neither overlap nor touch.

    :ivar starts: the first address of each range, as :func:`~meshgate.routing.addresses.address` gives it, in order.
    :ivar ends: the last address of each.
    """

    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[Network]) -> AddressSet:
        """Merge networks."""
        starts: list[int] = []
        ends: list[int] = []
        for first, last in sorted(map(_range, networks)):
            if ends and first <= ends[-1] + 1:
                ends[-1] = max(ends[-1], last)
            else:
                starts.append(first)
                ends.append(last)
        return cls(tuple(starts), tuple(ends))

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self.starts, number) - 1
        return index >= 0 and number <= self.ends[index]

    def __bool__(self) -> bool:
        return bool(self.starts)

    def networks(self) -> Iterator[Network]:
        """Yield the fewest networks that are the same set, in order; IPv6 comes first."""
        for first, end in zip(self.starts, self.ends, strict=True):
            while first <= end:
                bits = min((first | 1 << BITS - 1) & -(first | 1 << BITS - 1), 1 << (end - first + 1).bit_length() - 1)
                yield Network(BITS - bits.bit_length() + 1, first // bits)
                first += bits


@dataclass(frozen=True, slots=True)
class AccessList:
    """
    The clients that may connect.

    :ivar allow: if it is not empty, only these may.
    :ivar deny: these may not.
    :ivar dry_run: nobody is refused; who would be is logged and counted.
    """

    allow: AddressSet = AddressSet()
    deny: AddressSet = AddressSet()
    dry_run: bool = False

    def admits(self, number: int | None) -> bool:
        """
        Tell if a client may connect.

        :param number: the client's address as :func:`~meshgate.routing.addresses.address` gives it.
        """
        if number is None:
            return not self.allow
        if number in self.deny:
            return False
        return not self.allow.starts or number in self.allow


class AccessEntries(NamedTuple):
    """
    The networks of an access list as users write them.

    :ivar source: the setting or the resource that they stand in, for people.
    """

    source: str
    allow: Sequence[str] = ()
    deny: Sequence[str] = ()
    dry_run: bool = False

    def access_list(self) -> AccessList | None:
        """The list, without the texts that are no networks; None if it says nothing."""
        if not (self.allow or self.deny):
            return None
        return AccessList(_set_of(self.allow), _set_of(self.deny), self.dry_run)

    def verdict(self, number: int | None) -> tuple[bool, str]:
        """Tell if a client may connect, and why, in words."""
        denied, allowed = _nearest(self.deny, number), _nearest(self.allow, number)
        if denied:
            return False, f"{denied} in deny of {self.source} refuses it"
        if allowed:
            return True, f"{allowed} in allow of {self.source} admits it"
        if self.allow:
            return False, f"no network in allow of {self.source} has it"
        return True, f"no network in deny of {self.source} has it"


def _range(one: Network) -> tuple[int, int]:
    rest = BITS - one.length
    first = one.bits << rest
    return first, first + (1 << rest) - 1


def _set_of(texts: Iterable[str]) -> AddressSet:
    return AddressSet.of(filter(None, map(network, texts)))


def _nearest(texts: Iterable[str], number: int | None) -> str:
    """The narrowest network with an address; empty for none."""
    if number is None:
        return ""
    found = [(one.length, text) for text in texts if (one := network(text)) and number >> BITS - one.length == one.bits]
    return max(found, key=lambda each: each[0])[1] if found else ""
