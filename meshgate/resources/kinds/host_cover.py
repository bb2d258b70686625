"""
Hosts that cover others, where each may be a wildcard: ``*.example.com`` covers ``a.example.com``.

As in Istio's validation, hosts are compared as they are written, before short names are completed
(pkg/config/host/name.go, Matches and SubsetOf). The cost grows with the number of hosts, not with that of their pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


class HostCover:
    """
    An index of hosts by which those that cover a given host are found.

    :param hosts: the hosts with their indexes.
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
        """The indexes of the hosts that include every name of this host; of equal hosts, the first index."""
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
        """Return True if any of the hosts covers this one."""
        return any(True for _ in self.covering(host))


def overlapping(hosts: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    """
    Find the hosts that have a name in common with an earlier host.

    :param hosts: the hosts with their indexes, in ascending order.
    :return: for each such host its index, and that of one earlier host.
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
