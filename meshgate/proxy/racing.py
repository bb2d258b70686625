"""
A race: several dials for one connection, the first of which to be answered wins (RFC 8305, section 5).

The problem: a dead address answers nothing, and a client would wait for a whole connect timeout.

The approach: the first endpoint has a head start. While it stays silent, another endpoint is dialed every quarter of a
second; when a dial fails, the next one begins at once. The owner chooses the endpoints and judges failures.

The invariants: the owner is told of one winner, or of a last failure. All other dials are cancelled. Every dial carries
the same first bytes, but only the winner's arrive: a connection that is not established yet takes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshgate.proxy.sides import Upstream
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.transport.dialing import Attempt, DialError

if TYPE_CHECKING:
    from meshgate.proxy.reaching import EndpointSearch

HEAD_START: Final = 0.25
"""Seconds without an answer after which another endpoint is dialed as well."""


class Race:
    """
    The dials for one connection.

    :param owner: chooses the endpoints, and is told of failures and of the winner.
    :param reactor: provides IReactorTime.
    :param timeout: seconds for each dial.
    :param first_bytes: written to the endpoint before anything else.
    """

    __slots__ = (
        "_entering",
        "_entrants",
        "_first",
        "_first_bytes",
        "_network",
        "_over",
        "_owner",
        "_reactor",
        "_timeout",
        "_timer",
    )

    def __init__(self, owner: EndpointSearch, reactor: Any, network: Any, timeout: float, first_bytes: bytes) -> None:
        self._owner = owner
        self._reactor = reactor
        self._network = network
        self._timeout = timeout
        self._first_bytes = first_bytes
        self._entrants: list[Entrant] = []
        self._first: EndpointLoad | None = None
        self._timer: Any = None
        self._entering = False
        self._over = False

    def start(self, load: EndpointLoad, now: float) -> None:
        """Dial the first endpoint."""
        self._first = load
        self._enter(load, now)

    def cancel(self) -> None:
        """Cancel all dials."""
        self._end()
        entrants, self._entrants = self._entrants, []
        for entrant in entrants:
            entrant.cancel()

    def under_way(self) -> list[tuple[EndpointLoad, float]]:
        """Return the endpoints that are being dialed, each with the clock's seconds when its dial began."""
        return [(entrant.load, entrant.started) for entrant in self._entrants]

    def answered(self, winner: Entrant, upstream: Upstream) -> None:
        """End the race: an entrant has won."""
        self._end()
        at = self._entrants.index(winner)
        beaten = [(entrant.load, entrant.started) for entrant in self._entrants[:at]]
        for entrant in self._entrants:
            if entrant is not winner:
                entrant.cancel()
        self._entrants.clear()
        self._owner.race_won(winner.load, upstream, winner.started, beaten)

    def failed(self, entrant: Entrant, error: DialError) -> None:
        """Go on without an entrant whose dial has failed."""
        self._entrants.remove(entrant)
        last = not self._entrants
        if last:
            self._end()
        self._owner.race_failed(entrant.load, error, entrant.started, last)
        if not last and not self._entering:
            self._enter_next(entrant.load)

    def _enter(self, load: EndpointLoad, now: float) -> None:
        entrant = Entrant(self, load, now)
        self._entrants.append(entrant)
        entrant.dial(self._network, self._timeout, self._first_bytes)
        if not self._over and self._timer is None:
            self._timer = self._reactor.callLater(HEAD_START, self._silent)

    def _silent(self) -> None:
        self._timer = None
        self._enter_next(self._entrants[-1].load)

    def _enter_next(self, last: EndpointLoad) -> None:
        """Dial another endpoint; if it fails at once, the one after it, in a loop."""
        self._stop_timer()
        self._entering = True
        others = len(self._entrants)
        while not self._over and len(self._entrants) == others:
            next_entrant = self._owner.next_entrant(self._first or last, last, others)
            if next_entrant is None:
                break
            self._enter(next_entrant, self._owner.seconds())
        self._entering = False

    def _end(self) -> None:
        self._over = True
        self._stop_timer()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


class Entrant:
    """
    One dial of a race.

    :ivar started: the clock's seconds when it began.
    """

    __slots__ = ("_dialing", "_race", "load", "started")

    def __init__(self, race: Race, load: EndpointLoad, started: float) -> None:
        self._race = race
        self._dialing: Attempt | None = None
        self.load = load
        self.started = started

    def dial(self, network: Any, timeout: float, first_bytes: bytes) -> None:
        """Begin the dial."""
        self._dialing = network.dial(self.load.address, self.load.port, Upstream(), timeout, first_bytes, self)

    def cancel(self) -> None:
        """Cancel the dial; do nothing if it is over."""
        dialing, self._dialing = self._dialing, None
        if dialing is not None:
            dialing.cancel()

    # For the network.

    def dialed(self, upstream: Upstream) -> None:
        """Win the race."""
        self._dialing = None
        self._race.answered(self, upstream)

    def dial_failed(self, error: DialError) -> None:
        """Leave the race."""
        self._dialing = None
        self._race.failed(self, error)
