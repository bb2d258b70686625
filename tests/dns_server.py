"""
A real DNS server for tests: on loopback, on a free port, over UDP and TCP, with records that can be changed.

Authoritative for everything: a name it does not have does not exist. Counts what it is asked.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.names import dns
from twisted.names.common import ResolverBase
from twisted.names.error import AuthoritativeDomainError
from twisted.names.server import DNSServerFactory

from tests.support import reactor

UDP_LIMIT = 512
"""The size in bytes over which a reply is cut on UDP (RFC 1035, section 4.2.1)."""

Section = Sequence[dns.RRHeader]


class Fault(enum.Enum):
    """Faults of the server."""

    SERVFAIL = dns.ESERVER
    REFUSED = dns.EREFUSED
    SILENCE = "no reply at all"
    HANG_UP = "cut on UDP, hang up on TCP"
    STUCK = "cut on UDP, no reply on TCP"
    FORGERIES = "an answer, but after some that are not to be believed"


def open_questions() -> int:
    """Return the number of this process's UDP sockets for questions."""
    return sum(reader.logPrefix() == "DNS question" for reader in reactor.getReaders())


@dataclass(frozen=True)
class Asked:
    """One question that arrived."""

    name: str
    type: int
    tcp: bool


class DnsServer:
    """
    The server. Names are given in lower case, without a trailing dot.

    :param reactor: where it listens.
    :ivar asked: every question so far, in order.
    :ivar follows_aliases: a reply to a name that is an alias holds the records of its target too, as those of
        a recursive server do.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._factory = _Factory(self)
        self._ports: list[Any] = []
        self._records: dict[str, list[dns.RRHeader]] = {}
        self._faults: dict[tuple[str, int], Fault] = {}
        self.asked: list[Asked] = []
        self.follows_aliases = True

    @property
    def address(self) -> tuple[str, int]:
        """The server's address, as a resolver takes it."""
        host = self._ports[0].getHost()
        return host.host, host.port

    @property
    def connections(self) -> int:
        """Return the number of the server's TCP connections."""
        return len(self._factory.connections)

    def start(self) -> None:
        """Listen on the same free port over UDP and TCP."""
        while True:
            datagrams = dns.DNSDatagramProtocol(self._factory, self._reactor)
            udp = self._reactor.listenUDP(0, datagrams, "127.0.0.1")
            try:
                tcp = self._reactor.listenTCP(udp.getHost().port, self._factory, interface="127.0.0.1")
            except CannotListenError:
                udp.stopListening()
                continue
            self._ports = [udp, tcp]
            return

    def stop(self) -> Deferred[Any]:
        """
        Close every socket.

        :return: fires when they are closed.
        """
        for protocol in tuple(self._factory.connections):
            protocol.transport.abortConnection()
        return gatherResults([maybeDeferred(port.stopListening) for port in self._ports])

    def set(
        self,
        name: str,
        a: Sequence[str] = (),
        aaaa: Sequence[str] = (),
        cname: str = "",
        ttl: int = 60,
    ) -> None:
        """
        Replace a name's records. One without any exists, and has no address.

        :param ttl: in seconds, of all its records.
        """
        values: tuple[tuple[Any, Sequence[str]], ...] = (
            (dns.Record_CNAME, [cname] if cname else []),
            (dns.Record_A, a),
            (dns.Record_AAAA, aaaa),
        )
        self._records[name] = [
            dns.RRHeader(name, record.TYPE, dns.IN, ttl, record(value, ttl), auth=True)
            for record, texts in values
            for value in texts
        ]

    def remove(self, name: str) -> None:
        """Make a name one that does not exist."""
        del self._records[name]

    def break_down(self, name: str, fault: Fault, *types: int) -> None:
        """Make questions for a name fail, those for certain record types only if any are given."""
        for record_type in types or (dns.A, dns.AAAA):
            self._faults[name, record_type] = fault

    def mend(self) -> None:
        """End all faults."""
        self._faults.clear()

    def count(self, name: str, record_type: int = dns.A, tcp: bool = False) -> int:
        """Count the queries of a question."""
        return self.asked.count(Asked(name, record_type, tcp))

    def fault(self, asked: Asked) -> Fault | None:
        """Return the fault for a question, or None."""
        return self._faults.get((asked.name, asked.type))

    def answers(self, name: str, record_type: int) -> list[dns.RRHeader] | None:
        """The records that answer a question; None for a name that does not exist."""
        records = self._records.get(name)
        if records is None:
            return None
        wanted = [record for record in records if record.type in (record_type, dns.CNAME)]
        if self.follows_aliases:
            for alias in [record for record in wanted if record.type == dns.CNAME]:
                payload: Any = alias.payload
                wanted += self.answers(payload.name.name.decode(), record_type) or []
        return wanted


class _Records(ResolverBase):
    """The server's records, as twisted.names asks for them."""

    def __init__(self, server: DnsServer) -> None:
        super().__init__()
        self._server = server

    def query(self, query: dns.Query, timeout: Any = None) -> Deferred[tuple[Section, Section, Section]]:
        """Called with each question that is to be answered."""
        answers = self._server.answers(query.name.name.decode().lower(), query.type)
        if answers is None:
            return fail(AuthoritativeDomainError(query.name.name))
        return succeed((answers, [], []))


class _Factory(DNSServerFactory):
    """Writes down each question, and lets it go wrong where the test wants that."""

    noisy = False

    def __init__(self, server: DnsServer) -> None:
        super().__init__(authorities=[_Records(server)])
        self._server = server

    def handleQuery(self, message: dns.Message, protocol: Any, address: Any) -> Any:
        """Called with each question."""
        question = message.queries[0]
        asked = Asked(question.name.name.decode().lower(), question.type, tcp=address is None)
        self._server.asked.append(asked)
        fault = self._server.fault(asked)
        if fault is Fault.SILENCE or (fault is Fault.STUCK and asked.tcp):
            return None
        if fault is Fault.HANG_UP and asked.tcp:
            return protocol.transport.abortConnection()
        if fault is Fault.FORGERIES:
            self._send_forgeries(message, protocol, address)
        if fault in (None, Fault.FORGERIES):
            return super().handleQuery(message, protocol, address)
        reply = dns.Message(message.id, answer=1, trunc=int(fault in (Fault.HANG_UP, Fault.STUCK)))
        reply.rCode = fault.value if isinstance(fault.value, int) else dns.OK
        reply.queries = message.queries
        return self.sendReply(protocol, reply, address)

    def _send_forgeries(self, query: dns.Message, protocol: Any, address: Any) -> None:
        """Send what a stranger might, who does not see the query, and bytes that are no message."""
        protocol.transport.write(b"no DNS message", address)
        forged = dns.Record_A("192.0.2.66", 60)
        for identifier, name in ((query.id ^ 1, query.queries[0].name.name), (query.id, b"other.example")):
            reply = dns.Message(identifier, answer=1)
            reply.queries = [dns.Query(name, query.queries[0].type)]
            reply.answers = [dns.RRHeader(name, dns.A, dns.IN, 60, forged)]
            self.sendReply(protocol, reply, address)

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        """Send a reply, cut on UDP where it is too long: twisted.names cuts none by itself."""
        message.maxSize = 0 if address is None else UDP_LIMIT
        protocol.writeMessage(message, *([] if address is None else [address]))
