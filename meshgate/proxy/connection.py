"""
The client's connection, from the accept to its end.

The problem: what each event means depends on how far the connection has come, and a client may send, finish or reset at
any time.

The approach: a connection goes through four phases, and never back. A phase is a row of the table at the end of this
file: the client's three events (bytes, end of stream, loss), and a method for each.

========  ============================================================================================
HELLO     on a listener that sniffs, the ClientHello is read, and its server name chooses the route; behind a load
          balancer, its PROXY header is read first (:mod:`meshgate.proxy.received_header`)
DIALING   the route is chosen, and an endpoint is searched (:mod:`meshgate.proxy.reaching`)
RELAYING  client and endpoint are joined (:mod:`meshgate.proxy.relay`)
CLOSING   the record is complete; a refused client may still read what was written to it
========  ============================================================================================

The invariants: the route is looked up in the table that is in force when the connection needs it, and once. What the
client sends before the endpoint is connected is held, up to a limit, and reaches the endpoint first
(:mod:`meshgate.proxy.early_bytes`). The record gets one ending.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import classImplements

from meshgate.proxy.early_bytes import EarlyBytes
from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import CountedIn
from meshgate.proxy.reaching import EndpointSearch, SearchOwner
from meshgate.proxy.record import ConnectionRecord
from meshgate.proxy.relay import Relay
from meshgate.proxy.sides import Upstream
from meshgate.routing.addresses import address
from meshgate.routing.balance import choose_destination
from meshgate.routing.connection_policy import NO_CONNECTION_POLICY
from meshgate.routing.table import Chain
from meshgate.transport.dialing import unmapped
from meshgate.transport.keepalive import timed_out
from meshgate.transport.wheel import Timer
from meshgate.wire.clienthello import UNRECOGNIZED_NAME, HelloError, HelloTooLarge, NotTLS

if TYPE_CHECKING:
    from meshgate.proxy.dataplane import Dataplane, ServedListener

# Looking up a member of an enum takes longer than all the rest of a line.
_OK: Final = Ending.OK
_DRAINED: Final = Ending.DRAINED
_NO_SNI: Final = Ending.NO_SNI
_NO_ROUTE: Final = Ending.NO_ROUTE

LINGER: Final = 1.0
"""
Seconds that a refused client has to read the end of stream and close. If the gateway closed at once while bytes still
come in, the kernel would send a reset, which can overtake an alert.
"""


class Phase(enum.Enum):
    """The phase of a connection."""

    HELLO = "the client's first bytes are awaited"
    DIALING = "the route is chosen; its endpoint is being resolved and dialed"
    RELAYING = "both connections are joined"
    CLOSING = "the record is complete; the client may still read what was written"


class _Reactions(NamedTuple):
    """The methods for the client's three events in one phase."""

    phase: Phase
    received: Callable[[Inbound, bytes], None]
    finished: Callable[[Inbound], None]
    lost: Callable[[Inbound], None]


class Inbound(SearchOwner):
    """
    The protocol of one client.

    Attributes of later phases are defaults of the class until then: every connection makes one of these objects.

    :param listener: the listener that accepted the client.
    :param record: filled in as things happen, and passed to the data plane at the end.
    :ivar early: the bytes that the client has sent before its endpoint was connected.
    :ivar counted: the counters of the limits that the connection is counted in.
    :ivar search: the search for its endpoint, which counts it for the endpoint later.
    :ivar relay: the relay, in the phase RELAYING.
    :ivar client_is_certain: the record has the true client; False while a PROXY header may come.
    """

    transport: Any

    _finished = False
    #: The client has reset the connection during the dial; the endpoint still gets what the client has sent.
    _lost_early = False
    counted: CountedIn = ()
    _timer: Timer | None = None
    _deadline: Timer | None = None
    search: EndpointSearch | None = None
    relay: Relay | None = None
    client_is_certain: bool = True

    def __init__(self, dataplane: Dataplane, listener: ServedListener, record: ConnectionRecord) -> None:
        self.record = record
        self._dataplane = dataplane
        self.listener = listener
        self.early = EarlyBytes()
        self._policy = NO_CONNECTION_POLICY  # nearly all connections have no other
        self._reactions = _HELLO

    @property
    def phase(self) -> Phase:
        """The phase that the connection is in."""
        return self._reactions.phase

    # For the transport.

    def makeConnection(self, transport: Any) -> None:
        """Wait for the ClientHello, or dial at once on a listener that does not sniff."""
        self._begin(transport, early=False)

    def make_early_connection(self, transport: Any) -> None:
        """As :meth:`makeConnection`, for a client whose first bytes may have come already."""
        self._begin(transport, early=True)

    def _begin(self, transport: Any, early: bool) -> None:
        self.transport = transport
        plane = self._dataplane
        plane.opened(self)
        if self.listener.sniffs:
            if early:
                transport.read()
            if self._reactions is _HELLO:
                self._timer = plane.wheel.callLater(plane.limits.hello_timeout, self._hello_timed_out)
        else:
            self._decide(None, _NO_ROUTE)

    def connectionMade(self) -> None:
        """Do nothing: :meth:`makeConnection` has done everything."""

    def dataReceived(self, data: bytes) -> None:
        """Act on bytes of the client."""
        self._reactions.received(self, data)

    def readConnectionLost(self) -> None:
        """Act on the client's end of stream."""
        self._reactions.finished(self)

    def writeConnectionLost(self) -> None:
        """Note that the end of stream was sent to the client."""
        if self.relay is not None:
            self.relay.client.write_finished()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Act on the loss of the client's connection."""
        self._reactions.lost(self)

    # For the data plane.

    def close(self, ending: Ending, at_once: bool = False) -> None:
        """
        End the connection. If it has ended already, close it without waiting for the client.

        :param at_once: reset it without sending what was read before.
        """
        if self.relay is not None:
            self.relay.close(ending, at_once)
            return
        if self._lost_early:
            self._end_lost()
            return
        self._end(ending)
        self._reactions = _CLOSING
        self._stop_timer_and_search()
        if at_once or self.record.ending is _DRAINED:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def update_counts(self) -> None:
        """Update the byte counts of the record."""
        relay, record = self.relay, self.record
        if relay is not None:
            upstream = relay.upstream
            record.bytes_in, record.bytes_out = relay.client.count, upstream.count
            if upstream.first_at is not None:
                record.first_byte = upstream.first_at - record.accepted

    # HELLO

    def _sniff(self, data: bytes) -> None:
        plane = self._dataplane
        try:
            hello = self.early.read_hello(data, plane.limits.hello_bytes)
        except NotTLS:
            self._decide(None, Ending.NOT_TLS)
        except HelloTooLarge:
            self._refuse(Ending.HELLO_TOO_LARGE)
        except HelloError:
            self._refuse(Ending.BAD_HELLO)
        else:
            if hello is not None:
                record = self.record
                record.sni, record.alpn = hello.sni, hello.alpn
                if plane.metrics is not None:
                    record.hello = plane.seconds() - record.accepted
                self._decide(hello.sni, _NO_SNI if hello.sni is None else _NO_ROUTE)

    def _hello_timed_out(self) -> None:
        self._refuse(Ending.HELLO_TIMEOUT)

    def _closed_early(self) -> None:
        self.close(Ending.CLIENT_CLOSED_EARLY)

    def _decide(self, sni: str | None, otherwise: Ending) -> None:
        """Choose the route by the table in force and dial it, or end with ``otherwise`` if there is none."""
        listener = self.listener
        pattern = ""
        if listener.by_address:
            pattern, chain = self.match_by_address(sni)
        else:
            chain = listener.chain(sni)
        if chain is None and listener.in_table is None:
            self.close(_NO_ROUTE, at_once=True)  # its socket is open for a moment yet, or a service manager keeps it
        elif chain is None:
            self._refuse(otherwise)
        elif listener.access_by_gateway and not self._dataplane.admits_to(chain.gateway, self):
            self.record.gateway = chain.gateway
            self.close(Ending.DENIED)
        else:
            if listener.sniffs and self._dataplane.metrics is not None:
                listener.count_pattern(pattern or listener.pattern(sni))
            self._dial(chain)

    def match_by_address(self, sni: str | None) -> tuple[str, Chain | None]:
        """Look up the pattern and the chain where routes also depend on addresses."""
        listener = self.listener.in_table
        if listener is None:
            return "", None
        return listener.match_from(sni, address(self.record.client[0]), address(self.local_address()[0]))

    def _dial(self, chain: Chain) -> None:
        plane, record = self._dataplane, self.record
        record.gateway, record.virtual_service = chain.gateway, chain.virtual_service
        if chain.refusal:
            self._refuse(Ending.NOT_SERVED)
            return
        destinations = chain.destinations
        destination = destinations[0] if len(destinations) == 1 else choose_destination(destinations, plane.rng)
        if destination is None:
            self._refuse(Ending.NO_ENDPOINT)
            return
        timer = self._timer
        if timer is not None:
            timer.cancel()
        self._reactions = _DIALING
        self._stop_reading_when_full()
        self._policy = policy = chain.policy
        source = None
        if policy is not NO_CONNECTION_POLICY:
            if policy.max_duration is not None:
                longest = plane.limits.longest(policy.max_duration, plane.rng)
                self._deadline = plane.wheel.callLater(longest, self.close, Ending.MAX_DURATION)
            if policy.by_source:
                source = record.client[0]
        search = self.search = EndpointSearch(plane, destination, self, source)
        search.start()

    # DIALING

    def _hold(self, data: bytes) -> None:
        self.early.keep(data)
        self._stop_reading_when_full()

    def _stop_reading_when_full(self) -> None:
        if self.early.full():
            self.transport.pauseProducing()

    def first_bytes(self) -> bytes:
        """Return all bytes that the client has sent so far."""
        return self.early.send()

    def local_address(self) -> tuple[str, int]:
        """As :class:`SearchOwner`."""
        here = self.transport.getHost()
        return (unmapped(here.host), here.port) if hasattr(here, "host") else ("unix", 0)

    def _hold_finish(self) -> None:
        self._finished = True

    def endpoint_found(self, upstream: Upstream) -> None:
        """Join the client with the endpoint."""
        plane, transport = self._dataplane, self.transport
        limits = plane.limits
        if self._policy is not NO_CONNECTION_POLICY and self._policy.idle is not None:
            limits = limits.under(self._policy)
        plane.joined += 1
        if plane.metrics is not None:
            plane.metrics.joined(self.record)
        search = self.search
        pacing = search.pacing() if search is not None else None
        relay = self.relay = Relay(
            plane.wheel, limits, transport, upstream.transport, self._end, self._gone, self._endpoint_left, pacing
        )
        side = relay.client
        upstream.side = relay.upstream
        self._reactions = _RELAYING
        # A transport that has reported its end of stream would report it again when resumed.
        if not self._finished and not self._lost_early:
            transport.resumeProducing()
        side.count = self.early.sent
        relay.start(search.keepalive if search is not None else None)
        rest = self.early.release()
        if rest:
            side.received(rest)
        if self._finished:
            side.read_finished()
        if self._lost_early:
            side.lost()

    def no_endpoint(self, ending: Ending) -> None:
        """End without an endpoint."""
        if self._lost_early:
            self._end_lost()
        else:
            self._refuse(ending)

    def _lost_before_relaying(self) -> None:
        if self._reactions is _DIALING and self.early.size:
            self._lost_early = True
        else:
            self._end_lost()

    def _end_lost(self) -> None:
        """End after the loss of the client, when there is no endpoint to pass its bytes on to."""
        self._end(Ending.CLIENT_TIMED_OUT if timed_out(self.transport) else Ending.CLIENT_RESET)
        self._reactions = _CLOSING
        self._gone()

    # RELAYING

    def _relay_data(self, data: bytes) -> None:
        if self.relay is not None:
            self.relay.client.received(data)

    def _relay_finish(self) -> None:
        if self.relay is not None:
            self.relay.client.read_finished()

    def _relay_loss(self) -> None:
        if self.relay is not None:
            self.relay.client.lost()

    def _endpoint_left(self, in_order: bool) -> None:
        if self.search is not None:
            self.search.endpoint_left_early(in_order)

    # CLOSING

    def _refuse(self, ending: Ending) -> None:
        """End without an endpoint, and let the client read the alert and the end of stream."""
        self._end(ending)
        self._reactions = _CLOSING
        self._stop_timer_and_search()
        if ending is _NO_ROUTE and self.record.sni and self._dataplane.limits.unknown_sni_alert:
            self.transport.write(UNRECOGNIZED_NAME)
        if self._finished:
            self.transport.loseConnection()
            return
        self.transport.resumeProducing()
        self.transport.loseWriteConnection()
        self._timer = self._dataplane.wheel.callLater(LINGER, self.transport.loseConnection)

    def _discard(self, data: bytes) -> None:
        """Read on and ignore the bytes, so that the close does not become a reset."""

    def _client_finished(self) -> None:
        self.transport.loseConnection()

    def _gone(self) -> None:
        self._stop_timer_and_search()
        search, self.search = self.search, None
        if search is not None:
            search.stop_counting()
        relay, self.relay = self.relay, None
        if relay is not None:
            self._dataplane.joined -= 1
            relay.release()
        self._dataplane.closed(self)

    # In every phase.

    def _end(self, ending: Ending) -> None:
        record = self.record
        if self._deadline is not None:
            self._deadline.cancel()
        if record.ending is None:
            self.update_counts()
            if ending is not _OK and self.relay is not None:
                record.bytes_out -= self.transport.unacknowledged()
            record.ending = ending
            plane = self._dataplane
            record.duration = plane.seconds() - record.accepted
            if plane.metrics is not None:
                plane.metrics.ended(record)
            plane.ended(record)

    def _stop_timer_and_search(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.search is not None:
            self.search.cancel()


classImplements(Inbound, IProtocol, IHalfCloseableProtocol)

# The table of phases.
_HELLO: Final = _Reactions(Phase.HELLO, Inbound._sniff, Inbound._closed_early, Inbound._lost_before_relaying)
_DIALING: Final = _Reactions(Phase.DIALING, Inbound._hold, Inbound._hold_finish, Inbound._lost_before_relaying)
_RELAYING: Final = _Reactions(Phase.RELAYING, Inbound._relay_data, Inbound._relay_finish, Inbound._relay_loss)
_CLOSING: Final = _Reactions(Phase.CLOSING, Inbound._discard, Inbound._client_finished, Inbound._gone)
