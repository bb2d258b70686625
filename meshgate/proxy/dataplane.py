"""
The data plane: the table in force, the limits, and the live connections of one worker.

A new table replaces the old one as a whole. A connection looks its route up when it needs it, and keeps it: a change of
routes neither moves nor ends a live connection.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, Protocol, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, ILoggingContext, IProtocolFactory
from zope.interface import classImplements

from meshgate.proxy.clusters import Clusters
from meshgate.proxy.connection import Inbound
from meshgate.proxy.connection_counts import ConnectionCounts
from meshgate.proxy.dial_log import DialLog
from meshgate.proxy.draining import Drain, RemovedRoutes
from meshgate.proxy.endings import Ending
from meshgate.proxy.guard import NO_LISTS, Guard
from meshgate.proxy.limits import Limits
from meshgate.proxy.received_header import UNIX_CLIENT, HeadedInbound
from meshgate.proxy.record import ConnectionRecord
from meshgate.proxy.shared_counts import SharedCounts, bytes_for, new_seed
from meshgate.routing.access_lists import AccessList
from meshgate.routing.lookup import find_chain, suffix_pattern
from meshgate.routing.proxy_headers import ExpectedHeader
from meshgate.routing.table import CATCH_ALL, Chain, Listener, ListenerKey, RoutingTable
from meshgate.transport.descriptors import PortLoad
from meshgate.transport.network import Network, TwistedNetwork

_NONE: Final[Mapping[str, Chain]] = {}


class ServedListener:
    """
    One listener, for as long as the process runs.

    :ivar name: its address and port, as the access log names them.
    :ivar active: number of live connections that it has accepted.
    :ivar in_table: the listener of the table in force; None if the table does not have it.
    :ivar sniffs: as in the table.
    :ivar by_address: routes also depend on addresses, so that :meth:`chain` cannot choose one.
    :ivar header: the PROXY header with which its connections begin; None for none.
    :ivar guarded: something may refuse its connections, so that the guard has to be asked.
    :ivar access: the access list of its only Gateway; None if there is none.
    :ivar access_by_gateway: the access lists of its Gateways, if it has several.
    :ivar block: the block of its connections in the metrics' counts.
    """

    def __init__(self, key: ListenerKey, counts: ConnectionCounts | None = None) -> None:
        self.key = key
        self.name = str(key)
        self.block = -1
        self._counts = counts
        self._patterns: dict[str, int] = {}
        self.active = 0
        self.in_table: Listener | None = None
        self.sniffs = False
        self.by_address = False
        self.header: ExpectedHeader | None = None
        self.guarded = False
        self.access: AccessList | None = None
        self.access_by_gateway: Mapping[str, AccessList] = NO_LISTS
        self._exact = self._suffixes = _NONE
        self._catch_all: Chain | None = None

    def update(self, table: RoutingTable, guard: Guard | None = None) -> None:
        """Apply another table, whose access lists the guard has."""
        listener = self.in_table = table.listeners.get(self.key)
        if listener is None:
            self.sniffs = self.by_address = False
            self._exact = self._suffixes = _NONE
            self._catch_all = None
            self.header = None
        else:
            self.name = str(listener.address)
            self.sniffs, self.by_address = listener.sniffs, bool(listener.by_address)
            self._exact, self._suffixes = listener.exact, listener.suffixes
            self._catch_all = listener.catch_all
            self.header = listener.header
        if self._counts is not None:
            self._patterns = {}
            self.block = self._counts.listener_block(self.name)
        if guard is not None:
            self.access, self.access_by_gateway = guard.lists_of(listener)
            self.ask(guard)

    def ask(self, guard: Guard) -> None:
        """Ask the guard about new connections if anything may refuse them."""
        self.guarded = self.access is not None or guard.watches()

    def count_pattern(self, pattern: str) -> None:
        """Count a connection by the name pattern of its chain, for the metrics."""
        counts = self._counts
        if counts is not None:
            word = self._patterns.get(pattern)
            if word is None:
                word = self._patterns[pattern] = counts.pattern(self.name, pattern)
            counts.matched(word)

    def pattern(self, sni: str | None) -> str:
        """Return the name pattern by which :meth:`chain` finds the chain for a server name."""
        if sni is None:
            return CATCH_ALL
        return sni if sni in self._exact else suffix_pattern(sni, self._suffixes)

    def chain(self, sni: str | None) -> Chain | None:
        """Look up the chain for a server name, as :func:`~meshgate.routing.lookup.find_chain`."""
        return find_chain(sni, self._exact, self._suffixes, self._catch_all)


JUDGED_AT_ONCE: Final = 200
"""Live connections that are judged by new access lists before others get their turn."""

_IPV4_MAPPED = "::ffff:"
_DEFAULT_LIMITS = Limits()


class NameResolver(Protocol):
    """A resolver as the data plane uses it; :class:`meshgate.transport.dns.resolver.Resolver` is one."""

    def cached(self, name: str) -> tuple[str, ...] | None:
        """Return the last good answer; None if there never was one."""

    def resolve(self, name: str) -> Deferred[tuple[str, ...]]:
        """Resolve the name to its current addresses, perhaps none. Never fails."""


class Dataplane:
    """
    The connections of one worker.

    :param reactor: provides IReactorTCP and IReactorTime.
    :param ended: called once for each connection, with its complete record; must not raise.
    :param wall_clock: returns seconds since the epoch.
    :param network: the transports; Twisted's own by default.
    :param counts: the counts that all workers share; by default those of a single worker.
    :param metrics: the counts of connections for metrics; None to count none.
    :ivar wheel: the clock for time limits.
    :ivar seconds: returns the reactor's exact time.
    :ivar clusters: the state that the connections to each destination share.
    :ivar destination_rates: the bandwidths that connections to a destination share.
    :ivar dial_log: logs dials that failed because of this machine.
    :ivar ids: the numbers of the next connections.
    :ivar connections: the live connections.
    :ivar joined: number of connections that have an endpoint.
    :ivar draining: all connections are to end, and new ones are turned away.
    :ivar removed_routes: drains the connections whose routes are removed, if the settings ask for it.
    """

    def __init__(
        self,
        reactor: Any,
        resolver: NameResolver,
        rng: random.Random,
        ended: Callable[[ConnectionRecord], None],
        limits: Limits = _DEFAULT_LIMITS,
        wall_clock: Callable[[], float] = time.time,
        network: Network | None = None,
        counts: SharedCounts | None = None,
        metrics: ConnectionCounts | None = None,
    ) -> None:
        self.reactor = reactor
        self.metrics = metrics
        self.network = network or TwistedNetwork(reactor)
        self.wheel = self.network.wheel
        self.seconds = reactor.seconds
        self.resolver = resolver
        self.rng = rng
        counts = counts or SharedCounts(bytearray(bytes_for(1)), 0, new_seed())
        self.clusters = Clusters(counts)
        self.destination_rates = counts.destination_rates
        self.ended = ended
        self.dial_log = DialLog(reactor.seconds)
        self._guard = Guard(counts, limits, reactor.seconds, metrics)
        self._limits = limits
        self._table = RoutingTable()
        self._listeners: dict[ListenerKey, ServedListener] = {}
        self.wall_clock = wall_clock
        self.ids = count(1)
        self.draining = False
        self.connections: set[Inbound] = set()
        self._in_turn: list[Inbound] = []
        self._to_judge: list[Inbound] = []
        self.joined = 0
        self._drained: list[Deferred[None]] = []
        self._drain: Drain | None = None
        self.removed_routes = RemovedRoutes(reactor, lambda: self.connections)

    @property
    def limits(self) -> Limits:
        """The limits of every connection; new ones may be assigned at any time."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        before, self._limits = self._limits, limits
        self._guard.limits = limits
        for listener in self._listeners.values():
            listener.ask(self._guard)
        if before.room_is_limited or limits.room_is_limited:
            for connection in self.connections:
                if connection.client_is_certain:
                    connection.counted = self._guard.recount(connection.record, connection.counted)
        if limits.access is not None and limits.access != before.access:
            self._refuse_again()

    @property
    def table(self) -> RoutingTable:
        """The routing table in force; a new one may be assigned at any time."""
        return self._table

    @table.setter
    def table(self, table: RoutingTable) -> None:
        self._table = table
        changed = self._guard.apply(table)
        for listener in self._listeners.values():
            listener.update(table, self._guard)
        self.removed_routes.table_changed()
        if changed:
            self._refuse_again()

    @property
    def count(self) -> int:
        """The number of live connections."""
        return len(self.connections)

    def factory(self, key: ListenerKey) -> IProtocolFactory:
        """Return the factory that serves the clients of one listener."""
        listener = self._listeners.get(key)
        if listener is None:
            listener = self._listeners[key] = ServedListener(key, self.metrics)
            listener.update(self._table, self._guard)
        return _InboundFactory(self, listener)

    def drain(self, time: float = 0.0) -> Deferred[None]:
        """
        Have every connection end, and accept no new ones from now on.

        :param time: seconds until the last one is closed; see :mod:`meshgate.proxy.draining`.
        :return: fires when the last connection is gone.
        """
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self.draining = True
        self.removed_routes.stop()
        if time and self.connections:
            self._drain = Drain(self.reactor, time, lambda: self.connections, lambda connection: True)
        else:
            for connection in tuple(self.connections):
                connection.close(Ending.DRAINED)
        self._fire_when_drained()
        return drained

    def end_at_once(self) -> None:
        """Reset every connection, and accept no new ones from now on; a drain then waits for none of them."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close(Ending.DRAINED, at_once=True)

    # For the connections.

    def admit(self, connection: Inbound) -> bool:
        """
        Admit a connection of a guarded listener, whose client is known, or complete its record with the reason.

        :return: False if it is refused.
        """
        record, guard = connection.record, self._guard
        ending = guard.refusal(record, connection.listener.access)
        counted = guard.enter(record) if ending is None else None
        if counted is not None:
            connection.counted = counted
            return True
        record.ending = ending or Ending.OVER_LIMIT
        if self.metrics is not None:
            self.metrics.ended(record)
        self.ended(record)
        return False

    def admits_to(self, gateway: str, connection: Inbound) -> bool:
        """Judge a connection by the access list of the Gateway of its route, where those of its listener differ."""
        access = connection.listener.access_by_gateway.get(gateway)
        return access is None or self._guard.admits_to(access, connection.record)

    def _refuse_again(self) -> None:
        """End the live connections that the access lists refuse now, some at a time, so that others do not wait."""
        self._to_judge = list(self.connections)
        self._judge_some()

    def _judge_some(self) -> None:
        for _ in range(min(JUDGED_AT_ONCE, len(self._to_judge))):
            connection = self._to_judge.pop()
            record, access = connection.record, connection.listener.access
            is_live = record.ending is None and connection.client_is_certain
            if is_live and not self._guard.still_admits(record, access):
                connection.close(Ending.DENIED, at_once=True)
        if self._to_judge:
            self.reactor.callLater(0, self._judge_some)

    def opened(self, connection: Inbound) -> None:
        """Add a live connection."""
        self.connections.add(connection)
        connection.listener.active += 1

    def closed(self, connection: Inbound) -> None:
        """Remove a connection that is gone on both sides."""
        if connection in self.connections:
            self.connections.remove(connection)
            connection.listener.active -= 1
        if connection.counted:
            self._guard.leave(connection.counted)
            connection.counted = ()
        self._fire_when_drained()

    def count_progress(self, most: int) -> bool:
        """
        Count the bytes of live connections so far, for the metrics: of some of them at each call, in turn.

        :param most: number of connections to look at.
        :return: True if all have had their turn; the next call begins anew.
        """
        metrics = self.metrics
        if metrics is None:
            return True
        if not self._in_turn:
            self._in_turn = list(self.connections)
        for _ in range(min(most, len(self._in_turn))):
            connection = self._in_turn.pop()
            if connection.relay is not None and connection.record.ending is None:
                connection.update_counts()
                metrics.progressed(connection.record)
        return not self._in_turn

    def _fire_when_drained(self) -> None:
        if self._drain is not None and not self.connections:
            self._drain.stop()
        while self._drained and not self.connections:
            self._drained.pop().callback(None)


class _InboundFactory:
    """The factory that serves the clients of one listener."""

    def __init__(self, dataplane: Dataplane, listener: ServedListener) -> None:
        self._dataplane = dataplane
        self._listener = listener

    def doStart(self) -> None:
        """Do nothing: the first client needs no preparation."""

    def doStop(self) -> None:
        """Do nothing: the data plane holds everything."""

    def logPrefix(self) -> str:
        """Return the listener's name in the reactor's log."""
        return f"listener {self._listener.name}"

    def load(self) -> PortLoad:
        """Return the number of its connections, and of all listeners' connections without an endpoint yet."""
        return PortLoad(self._listener.active, self._dataplane.count - self._dataplane.joined)

    def buildProtocol(self, addr: IAddress | None) -> Inbound | None:
        """Make the protocol for a client; return None while draining."""
        if isinstance(addr, UNIXAddress):
            return self.for_client(*UNIX_CLIENT)
        peer = cast("IPv4Address | IPv6Address", addr)
        return self.for_client(peer.host, peer.port)

    def for_client(self, host: str, port: int) -> Inbound | None:
        """As :meth:`buildProtocol`, without an address object."""
        plane = self._dataplane
        if plane.draining:
            return None
        # On a socket of both families, an IPv4 client has an IPv4-mapped IPv6 address.
        if ":" in host and "." in host:
            host = host.removeprefix(_IPV4_MAPPED)
        listener = self._listener
        record = ConnectionRecord(next(plane.ids), plane.wall_clock(), plane.seconds(), listener.name, (host, port))
        if plane.metrics is not None:
            plane.metrics.opened(listener.block)
        if listener.header is not None:
            # It is admitted once its client is certain.
            return HeadedInbound(plane, listener, record, listener.header)
        connection = Inbound(plane, listener, record)
        return connection if not listener.guarded or plane.admit(connection) else None


classImplements(_InboundFactory, IProtocolFactory, ILoggingContext)
