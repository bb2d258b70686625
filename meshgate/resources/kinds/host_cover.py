"""
Which of several hosts take in another, where either may be a wildcard, as the validation of Istio compares them.

Everything is compared as written, before short names are made whole (pkg/config/host/name.go, Matches and SubsetOf).
Its cost grows with the number of hosts, not with that of their pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


class HostCover:
    """
    Hosts, made for finding those that take in a given one.

    :param hosts: with their indexes.
    """

    def __init__(self, hosts: Iterable[tuple[int, str]]) -> None:
        self._exact: dict[str, int] = {}
        self._endings: dict[str, int] = {}
        for index, host in hosts:
            if host.startswith("*"):
                self._endings.setdefault(host[1:], index)
            else:
                self._exact.setdefault(host, index)
        self._lengths = sorted({len(ending) for ending in self._endings})

    def covering(self, host: str) -> Iterator[int]:
        """The indexes of the hosts that stand for every name that this one stands for, of equal ones the first."""
        wildcard = host.startswith("*")
        if not wildcard and host in self._exact:
            yield self._exact[host]
        tail = host[1:] if wildcard else host
        for length in self._lengths:
            if length > len(tail):
                return
            index = self._endings.get(tail[len(tail) - length :])
            if index is not None:
                yield index

    def includes(self, host: str) -> bool:
        """Whether there is such a host."""
        return any(True for _ in self.covering(host))


def overlapping(hosts: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    """
    The hosts that have a name in common with an earlier one, each once, with one of those.

    :param hosts: with their indexes, in ascending order.
    :return: pairs of indexes, later and earlier.
    """
    if len(hosts) < 2:
        return
    cover = HostCover(hosts)
    found: dict[int, int] = {}
    for index, host in hosts:
        for other in cover.covering(host):
            if other != index:
                found.setdefault(max(index, other), min(index, other))
    yield from sorted(found.items())
