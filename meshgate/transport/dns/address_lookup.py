"""
The addresses of a name: from this machine's files first, then from the name servers, one after the other.

Each lookup is made anew; :mod:`meshgate.transport.dns.resolver` caches the answers.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.names import dns

from meshgate.routing.addresses import host_port
from meshgate.transport.dns.host_files import HostsFile, ParsedFile, parse_resolv_conf
from meshgate.transport.dns.question import QuestionError, Server, ask

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
