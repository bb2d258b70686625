"""
The addresses of a name: from ``/etc/hosts`` first, then from the name servers of ``/etc/resolv.conf`` or of the
settings, one after the other.

Both files are read again when they change. Each lookup is made anew; :mod:`meshgate.transport.dns.resolver` caches the
answers.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.names import dns

from meshgate.routing.addresses import host_port
from meshgate.transport.dns.question import QuestionError, Server, ask

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


FAMILIES: Final = (dns.A, dns.AAAA)
"""The record types that hold addresses, in the order in which addresses are used."""

MAX_ALIASES: Final = 16
"""CNAME records in a row that are followed; more count as a loop."""

ROUNDS: Final = 2
"""Times that a silent server is asked: a datagram may get lost."""

HOSTS_TTL: Final = 5.0
"""Seconds after which a name found in the hosts file is looked up there again."""

_FAMILY_WORDS: Final = {dns.A: "IPv4", dns.AAAA: "IPv6"}
_CODE_WORDS: Final = {
    dns.EFORMAT: "FORMERR",
    dns.ESERVER: "SERVFAIL",
    dns.ENOTIMP: "NOTIMP",
    dns.EREFUSED: "REFUSED",
}


class LookupFailedError(Exception):
    """No file and no server gave an answer. The message is the reason, for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The addresses of one family that a name has now.

    :ivar addresses: as text, in the order received; an answer may have none.
    :ivar ttl: seconds for which they hold: the shortest time to live among the records that lead to them.
    :ivar reason: why there are no addresses, for people.
    """

    addresses: tuple[str, ...]
    ttl: float = 0.0
    reason: str = ""


class AddressLookup:
    """
    Looks up names, without a cache.

    :param reactor: provides ``IReactorTime``, ``IReactorFDSet`` and ``IReactorTCP``.
    :param servers: IP address and port of each name server, in the order of preference; none for those of
        ``resolv.conf``, which is read again whenever it changes.
    :param timeout: seconds that a server is given for an answer.
    :param hosts: the names that need no name server.
    :param resolv_conf: the file that lists the servers, in the form of resolv.conf(5).
    :raises ValueError: when a server is given by a name.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[Server] = (),
        timeout: float = 2.0,
        hosts: HostsFile | None = None,
        resolv_conf: Path = Path("/etc/resolv.conf"),
    ) -> None:
        for host, _ in servers:
            ipaddress.ip_address(host)
        self._reactor = reactor
        self._servers = tuple(servers)
        self._timeout = timeout
        self._hosts = hosts or HostsFile()
        self._resolv_conf = ParsedFile(resolv_conf, parse_resolv_conf)

    def lookup(self, name: str, family: int) -> Deferred[Answer]:
        """
        Find the addresses of one family. Cancelling closes all sockets.

        :param name: lower case, without a trailing dot; a full name, search domains are not applied.
        :param family: one of :data:`FAMILIES`.
        :return: fails with :exc:`LookupFailedError`.
        """
        local = self._hosts.addresses(name)
        if local:
            found = tuple(address for address in local if (":" in address) == (family == dns.AAAA))
            return succeed(Answer(found, HOSTS_TTL, "" if found else _none(family)))
        return Deferred.fromCoroutine(self._ask_servers(name, family))

    async def _ask_servers(self, name: str, family: int) -> Answer:
        target = wire_name(name)
        ttl = float("inf")
        for _ in range(MAX_ALIASES):
            reply = await self._reply(dns.Query(target, family))
            if reply.rCode == dns.ENAME:
                return Answer((), reason="the name does not exist (NXDOMAIN)")
            addresses, last, chain_ttl = _follow(reply.answers, target, family)
            ttl = min(ttl, chain_ttl)
            if addresses:
                return Answer(addresses, ttl)
            if last == target:
                return Answer((), reason=_none(family))
            target = last
        raise LookupFailedError(f"more than {MAX_ALIASES} CNAME records in a row")

    async def _reply(self, question: dns.Query) -> dns.Message:
        """
        Return the first reply that answers the question. If a server fails, the next one is asked; silent ones are
        asked again after all others.
        """
        reasons: dict[str, None] = {}
        servers = self._servers or self._resolv_conf.value()
        for _ in range(ROUNDS):
            silent = []
            for server in servers:
                try:
                    reply = await ask(self._reactor, server, question, self._timeout)
                except QuestionError as error:
                    reasons[str(error)] = None
                    if error.silent:
                        silent.append(server)
                    continue
                if reply.rCode in (dns.OK, dns.ENAME):
                    return reply
                code = _CODE_WORDS.get(reply.rCode, f"code {reply.rCode}")
                reasons[f"{host_port(*server)} answered {code}"] = None
            servers = tuple(silent)
        raise LookupFailedError("; ".join(reasons))


def wire_name(name: str) -> bytes:
    """
    Encode a name as in a DNS question, in ASCII (RFC 1035, section 2.3.4; RFC 3490).

    :raises LookupFailedError: when it can be no host's name.
    """
    try:
        encoded = name.encode("idna")
    except UnicodeError:
        encoded = b""
    if not 0 < len(encoded) <= 253:
        raise LookupFailedError("this is not a DNS name")
    return encoded


def _follow(records: Sequence[dns.RRHeader], target: bytes, family: int) -> tuple[tuple[str, ...], bytes, float]:
    """
    Follow the aliases in one reply.

    :return: the addresses found at the end, the name that the aliases lead to, and the shortest time to live on the
        way.
    """
    name, ttl = dns.Name(target), float("inf")
    for _ in range(MAX_ALIASES):
        found = [record for record in records if record.type == family and record.name == name]
        if found:
            return tuple(_address(record) for record in found), name.name, min(ttl, *(r.ttl for r in found))
        alias = next((record for record in records if record.type == dns.CNAME and record.name == name), None)
        if alias is None:
            break
        payload: Any = alias.payload
        name, ttl = payload.name, min(ttl, alias.ttl)
    return (), name.name, ttl


def _address(record: dns.RRHeader) -> str:
    family = socket.AF_INET if record.type == dns.A else socket.AF_INET6
    payload: Any = record.payload
    return socket.inet_ntop(family, payload.address)


def _none(family: int) -> str:
    return f"it has no {_FAMILY_WORDS[family]} address"
