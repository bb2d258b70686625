"""The machine's own files about names: ``/etc/hosts`` and ``/etc/resolv.conf``, read again when they change."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from meshgate.transport.dns.question import Server

DNS_PORT = 53

MAX_SERVERS = 3
"""Name servers of ``resolv.conf`` that count, as for all other programs (MAXNS in resolv.conf(5))."""

LOOPBACK = ("127.0.0.1", "::1")
"""The addresses of ``localhost`` and of every name under it (RFC 6761, section 6.3)."""

T = TypeVar("T")


class ParsedFile(Generic[T]):
    """
    A small text file, parsed again when it changes. A file that cannot be read counts as empty.

    :param path: the file.
    :param parse: makes the value from the file's text.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._stamp: tuple[int, int, int] | None = None
        self._value = parse("")

    def value(self) -> T:
        """Return the value of the file as it is now, for one stat if it has not changed."""
        try:
            stat = os.stat(self._path)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                self._value = self._parse(self._path.read_text("utf-8", "replace"))
                self._stamp = stamp
        except OSError:
            self._stamp = None
            self._value = self._parse("")
        return self._value


class HostsFile:
    """
    The addresses that need no name server.

    :param path: a file in the form of hosts(5).
    """

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._file = ParsedFile(path, parse_hosts)

    def addresses(self, name: str) -> tuple[str, ...]:
        """
        Return the addresses of a name, in the file's order; none for a name that a name server must answer.

        :param name: lower case, without a trailing dot. An IP address is its own address.
        """
        if _is_address(name):
            return (name,)
        found = self._file.value().get(name, ())
        if not found and (name == "localhost" or name.endswith(".localhost")):
            return LOOPBACK
        return found


def parse_hosts(text: str) -> Mapping[str, tuple[str, ...]]:
    """Parse hosts(5): the addresses by lower-case name. Lines that do not begin with an address are skipped."""
    hosts: dict[str, tuple[str, ...]] = {}
    for words in _lines(text):
        address, *names = words
        if _is_address(address):
            for name in dict.fromkeys(name.lower() for name in names):
                hosts[name] = (*hosts.get(name, ()), address)
    return hosts


def parse_resolv_conf(text: str) -> tuple[Server, ...]:
    """
    Parse resolv.conf(5): the name servers, or the one on this machine if there are none. Search domains and options are
    not read, since the names in routes are full names.
    """
    named = (words[1] for words in _lines(text) if words[0] == "nameserver" and len(words) > 1)
    servers = [(address, DNS_PORT) for address in named if _is_address(address)]
    return tuple(servers[:MAX_SERVERS]) or (("127.0.0.1", DNS_PORT),)


def _lines(text: str) -> list[list[str]]:
    stripped = (line.partition("#")[0].split() for line in text.splitlines())
    return [words for words in stripped if words]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
