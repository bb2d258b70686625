"""
Pacing: a limit on the bytes that a connection, or all connections to a destination, move in a second, each way.

The problem: the limit has to hold to a few percent at any bandwidth, from one KiB to one GiB a second, also where many
connections in several workers share it; and a connection without a limit must not pay for it.

The approach: a paced connection has sides of a class of its own, which are not joined below the protocol. A side sends
what it has read in portions of :data:`PORTION` seconds. Each portion reserves its time in a bucket, behind all that
were reserved before, and is sent when that time has come; until then nothing more is read. So those who share a
bandwidth get it in turn.

The invariants: no more waits than one read. What was read is sent before a loss or an end of stream is passed on, and
when the relay is closed, whatever the bandwidth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import classImplements

from meshgate.proxy.endings import Ending
from meshgate.proxy.rates import RateTable, microseconds
from meshgate.proxy.sides import Side

if TYPE_CHECKING:
    from meshgate.proxy.relay import Relay

PORTION: Final = 0.02
"""Seconds of the bandwidth that are sent at once."""

SMALLEST: Final = 256
"""Bytes of the smallest portion of a slow connection."""

BURST: Final = 0.1
"""Seconds of the bandwidth that may be sent at once after a silence, unless the settings say another size."""

SMALLEST_BURST: Final = 16 * 1024
"""Bytes of the smallest burst of this kind."""


class Bucket:
    """
    The bandwidth of one direction of a connection.

    :param rate: bytes for each second.
    :param burst: bytes that may be sent at once; 0 for those of :data:`BURST`.
    :ivar portion: bytes to reserve at once.
    """

    __slots__ = ("_full_at", "_patience", "_rate", "portion")

    def __init__(self, rate: int, burst: int = 0) -> None:
        self._rate = rate
        self._patience = (burst or max(SMALLEST_BURST, rate * BURST)) / rate
        self._full_at = 0.0
        self.portion = max(SMALLEST, int(rate * PORTION))

    def reserve(self, count: int, now: float) -> float:
        """
        Reserve the time of some bytes.

        :param now: the clock's seconds.
        :return: seconds until they may be sent; 0 or less for at once.
        """
        start = max(self._full_at, now)
        self._full_at = start + count / self._rate
        return start - now - self._patience


class SharedBucket(Bucket):
    """
    The bandwidth of one direction of all connections to a destination, over all workers.

    :param key: of the bucket in the table.
    """

    __slots__ = ("_key", "_table")

    def __init__(self, rate: int, table: RateTable, key: str) -> None:
        super().__init__(rate)
        self._table = table
        self._key = key

    def reserve(self, count: int, now: float) -> float:
        """As :meth:`Bucket.reserve`."""
        when = microseconds(now)
        entry = self._table.entry(self._key, when)
        start = self._table.take(entry, max(1, count * 1_000_000 // self._rate), when)
        return (start - when) / 1e6 - self._patience


class Pacing:
    """
    The bandwidths of one connection.

    :param reactor: gives the exact time, and timers.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.inwards: list[Bucket] = []
        self.outwards: list[Bucket] = []

    def limit_connection(self, rate: int, burst: int) -> None:
        """Limit the connection by itself, each way."""
        self.inwards.append(Bucket(rate, burst))
        self.outwards.append(Bucket(rate, burst))

    def limit_destination(self, rate: int, table: RateTable, name: str) -> None:
        """Limit the connection together with all others to a destination of a name, each way."""
        self.inwards.append(SharedBucket(rate, table, f"to {name}"))
        self.outwards.append(SharedBucket(rate, table, f"from {name}"))


class PacedSide(Side):
    """
    One side of a relay whose bytes are sent on no faster than some buckets allow.

    :param reactor: as in :class:`Pacing`.
    """

    __slots__ = ("_buckets", "_full", "_portion", "_reactor", "_reserved", "_rest", "_waiting")

    def __init__(self, transport: Any, reset: Ending, relay: Relay, reactor: Any, buckets: list[Bucket]) -> None:
        super().__init__(transport, reset, relay)
        self._reactor = reactor
        self._buckets = buckets
        self._portion = min([bucket.portion for bucket in buckets])
        self._rest = b""
        self._reserved = 0
        self._full = False
        self._waiting: Any = None

    def joins(self) -> bool:
        """As :class:`Side`."""
        return False

    def received(self, data: bytes) -> None:
        """Send bytes that were read from this side to its peer when their time has come."""
        self._rest += data
        if self._waiting is None and not self._full:
            self._send()

    def _send(self) -> None:
        self._waiting = None
        while self._rest and not self.gone:
            if self._full:
                return
            if not self._reserved:
                count = min(len(self._rest), self._portion)
                now: float = self._reactor.seconds()
                delay = max([bucket.reserve(count, now) for bucket in self._buckets])
                self._reserved = count
                if delay > 0 and not self._relay.other(self).transport.unwritable:
                    self._wait(delay)
                    return
            count, self._reserved = self._reserved, 0
            part, self._rest = self._rest[:count], self._rest[count:]
            super().received(part)
        if self.blocked and not self._full and not self.gone:
            self.blocked = False
            self.transport.resumeProducing()

    def _wait(self, delay: float) -> None:
        self._waiting = self._reactor.callLater(delay, self._send)
        if not self.blocked:
            self.blocked = True
            self.transport.pauseProducing()

    def flush(self) -> None:
        """Send what was read, at once."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        rest, self._rest = self._rest, b""
        self._reserved = 0
        if rest:
            super().received(rest)

    def read_finished(self) -> None:
        """As :class:`Side`, after what was read before."""
        self.flush()
        super().read_finished()

    def lost(self) -> None:
        """As :class:`Side`, after what was read before."""
        self.flush()
        super().lost()

    def release(self) -> None:
        """As :class:`Side`."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        super().release()

    def pauseProducing(self) -> None:
        """Send and read nothing more: the peer has enough to write."""
        self._full = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on: the peer has written what it had."""
        self._full = False
        if self._waiting is None:
            if self._rest:
                self._send()
            else:
                super().resumeProducing()


classImplements(PacedSide, IPushProducer)
