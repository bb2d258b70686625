"""
The search for an endpoint: the names of a destination are resolved, and its endpoints dialed, until one answers.

The problem: a client should not pay for a dead endpoint, a dead host is found dead only by a timeout, and nobody may
dial all endpoints of a large destination for one client.

The approach: the cluster says the order of the endpoints, and they are dialed one after the other.

- A dial without an answer uses up one of the attempts (``dial_attempts``).
- A refused dial costs the client no time, and uses up none while an endpoint is left. If a single attempt is allowed,
  it is the end, as in Istio.
- An endpoint that may stay silent and has a good alternative is raced (:mod:`meshgate.proxy.racing`): an address of a
  DNS name against the name's other addresses, and an endpoint whose last dial failed against those that follow.

The invariants: the owner is told of one outcome, unless it cancels before. Each dial that has begun is reported to the
cluster as succeeded, failed or abandoned. The connection counts for its cluster from the first dial to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import DeferredList

from meshgate.proxy.clusters import CountedConnection
from meshgate.proxy.endings import Ending
from meshgate.proxy.pacing import Pacing
from meshgate.proxy.racing import Race
from meshgate.proxy.record import ConnectionRecord
from meshgate.proxy.sent_header import header_for_endpoint
from meshgate.proxy.sides import Upstream
from meshgate.routing.connection_policy import NO_UPSTREAM_POLICY, Keepalive
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.table import Destination
from meshgate.transport.dialing import Attempt, DialError, DialLoop, DialRefused, DialTimeout, LocalShortage
from meshgate.transport.wheel import Timer
from meshgate.wire.proxy_protocol import ProxyHeader

if TYPE_CHECKING:
    from meshgate.proxy.dataplane import Dataplane


PROBE_LEASE: Final = 2.0
"""Seconds after the connect timeout within which every probe has an outcome, unless its client leaves."""

SILENCE: Final = 1.0
"""Seconds after which an abandoned dial counts as unanswered. A client that leaves sooner proves nothing."""

SILENT: Final = "no answer"
LEFT_EARLY: Final = "it closes at once"
"""Reasons why an endpoint counts as failed, beside the errors of dials."""

EARLY_END: Final = 1.0
"""Seconds after the dial within which an endpoint that ends its stream without a byte counts as failed."""

FREE_REFUSALS: Final = 16
"""
Number of refusals by endpoints that had failed before which use up no attempt. It bounds the dials for one client if
all endpoints are dead.
"""

_NO_ENDPOINT: Final = Ending.NO_ENDPOINT

_ENDINGS: Final[dict[type[DialError], Ending]] = {
    DialRefused: Ending.DIAL_REFUSED,
    DialTimeout: Ending.DIAL_TIMEOUT,
    DialLoop: Ending.LOOP,
    LocalShortage: Ending.LOCAL_SHORTAGE,
}


class SearchOwner:
    """
    The owner of a search, who wants the endpoint.

    :ivar record: the search fills in the destination, the endpoint dialed last, and the time that dialing took.
    :ivar received_header: the PROXY header that the connection began with, if a load balancer sent one.
    """

    record: ConnectionRecord
    received_header: ProxyHeader | None = None

    def first_bytes(self) -> bytes:
        """Return what the client has sent so far; it is sent to the endpoint that answers."""
        raise NotImplementedError

    def local_address(self) -> tuple[str, int]:
        """Return the address and port to which the client has connected, for a PROXY header."""
        raise NotImplementedError

    def endpoint_found(self, upstream: Upstream) -> None:
        """Take the connection to an endpoint."""
        raise NotImplementedError

    def no_endpoint(self, ending: Ending) -> None:
        """End: no endpoint was found."""
        raise NotImplementedError


class EndpointSearch(CountedConnection):
    """
    The search for an endpoint, for one connection. When it is over, the object goes on counting the connection, until
    :meth:`stop_counting` is called.

    :param owner: told of the outcome.
    :param source: the client's address if the endpoint is chosen by it; else None.
    """

    __slots__ = (
        "_attempts_left",
        "_candidates",
        "_dataplane",
        "_dial_at",
        "_dialing",
        "_error",
        "_first_dial_at",
        "_free_refusals",
        "_owner",
        "_policy",
        "_probing",
        "_race_limit",
        "_record",
        "_resolving",
        "_single",
        "_source",
        "_starting",
        "_timeout",
    )

    _attempts_left: int
    _candidates: Iterator[EndpointLoad]
    _dial_at: float

    def __init__(self, dataplane: Dataplane, destination: Destination, owner: SearchOwner, source: str | None) -> None:
        self._cluster = cluster = dataplane.clusters.of(destination)
        self._counted = False
        self._load = None
        self._dataplane = dataplane
        # None for the policy that nearly all destinations have, which says nothing.
        self._policy = policy = None if destination.policy is NO_UPSTREAM_POLICY else destination.policy
        own_timeout = None if policy is None else policy.connect_timeout
        self._timeout: float = dataplane.limits.connect_timeout if own_timeout is None else own_timeout
        self._source = source
        self._owner: SearchOwner | None = owner
        self._resolving: Timer | None = None
        self._dialing: Attempt | None = None
        self._starting = False
        self._error: DialError | None = None
        self._record = record = owner.record
        record.destination = cluster.name

    def start(self) -> None:
        """Dial at once if all addresses are known, else as soon as the names are resolved."""
        names = self._cluster.names
        if names:
            resolver = self._dataplane.resolver
            unknown = [name for name in names if resolver.cached(name) is None]
            if unknown:
                # Other connections wait for the same answers: this one stops waiting, but never cancels them.
                self._resolving = self._dataplane.wheel.callLater(self._timeout, self._resolved)
                DeferredList([resolver.resolve(name) for name in unknown]).addCallback(lambda _: self._resolved())
                return
        self._dial_first()

    def cancel(self) -> None:
        """Give up the search; do nothing if an endpoint was found."""
        if self._owner is None:
            return
        self._owner = None
        self._stop_resolving()
        dialing, self._dialing = self._dialing, None
        if isinstance(dialing, Race):
            for load, started in dialing.under_way():
                self._abandon(load, started)
        elif dialing is not None and self._load is not None:
            self._abandon(self._load, self._dial_at)
        if dialing is not None:
            dialing.cancel()
        self.stop_counting()

    def endpoint_left_early(self, in_order: bool) -> None:
        """
        Act on an endpoint that has left before the client sent anything. If it left as soon as a dial would have
        failed, that counts as a failed dial. Later it does not: a healthy server also closes on a silent client.

        :param in_order: the endpoint has left by an end of stream, not by a reset.
        """
        load, plane = self._load, self._dataplane
        if load is not None:
            now = plane.seconds()
            if now - self._dial_at < (EARLY_END if in_order else self._timeout):
                self._cluster.mark(load, self._dial_at, now, plane.rng, LEFT_EARLY)

    @property
    def keepalive(self) -> Keepalive | None:
        """The destination's keepalive for the connection to its endpoint; None if its policy sets none."""
        return None if self._policy is None else self._policy.keepalive

    def pacing(self) -> Pacing | None:
        """Return the bandwidths of the connection to the endpoint; None if nothing limits them."""
        limits = self._dataplane.limits
        shared = 0 if self._policy is None else self._policy.bandwidth
        if not (limits.bandwidth or shared):
            return None
        pacing = Pacing(self._dataplane.reactor)
        if limits.bandwidth:
            pacing.limit_connection(limits.bandwidth, limits.bandwidth_burst)
        if shared:
            pacing.limit_destination(shared, self._dataplane.destination_rates, self._cluster.name)
        return pacing

    def _stop_resolving(self) -> None:
        timer, self._resolving = self._resolving, None
        if timer is not None:
            timer.cancel()

    def _resolved(self) -> None:
        if self._resolving is not None:
            self._stop_resolving()
            self._dial_first()

    def _dial_first(self) -> None:
        plane = self._dataplane
        if self._cluster.full:
            self._fail(Ending.OVER_LIMIT)
            return
        self.start_counting()
        self._first_dial_at = self._dial_at = now = plane.seconds()
        self._attempts_left = attempts = plane.limits.dial_attempts
        self._single = attempts == 1
        self._race_limit = 0
        self._probing = False
        self._free_refusals = FREE_REFUSALS
        self._candidates = self._cluster.candidates(
            plane.resolver.cached, self._source, plane.rng, now, self._timeout + PROBE_LEASE, attempts > 1
        )
        self._dial_next(_NO_ENDPOINT)

    def _dial_next(self, otherwise: Ending) -> None:
        """
        Dial the next endpoint, or end with ``otherwise`` if none is left. Endpoints that fail at once are passed over
        in a loop, not by recursion.
        """
        while self._owner is not None:
            load = next(self._candidates, None) if self._attempts_left > 0 else None
            if load is None:
                if otherwise is _NO_ENDPOINT and self._cluster.leaves_all_out:
                    self._record.note_dial_error("left_out")
                self._fail(otherwise)
                return
            self.count_for(load)
            self._record.endpoint = load.name
            if load.marked or load.shared_name:
                self._race(load)
            else:
                self._dial(load)
            error, self._error = self._error, None
            if error is None:
                return
            otherwise = _ENDINGS[type(error)]
            if error.hopeless:
                self._fail(otherwise)

    def _dial(self, load: EndpointLoad) -> None:
        owner = self._owner
        if owner is not None:
            self._starting = True
            dialing = self._dataplane.network.dial(
                load.address, load.port, Upstream(), self._timeout, self._first_bytes(owner), self
            )
            self._starting = False
            if dialing is not None:
                self._dialing = dialing

    def _first_bytes(self, owner: SearchOwner) -> bytes:
        """The client's bytes so far, after the PROXY header that the destination's policy asks for."""
        first, policy = owner.first_bytes(), self._policy
        if policy is None or policy.header is None:
            return first
        return header_for_endpoint(policy.header, self._record, owner.local_address(), owner.received_header) + first

    def _race(self, load: EndpointLoad) -> None:
        owner, plane = self._owner, self._dataplane
        if owner is not None:
            self._starting = True
            self._race_limit = max(2, self._attempts_left)
            self._probing = load.marked
            race = self._dialing = Race(self, plane.reactor, plane.network, self._timeout, self._first_bytes(owner))
            race.start(load, self._dial_at)
            self._starting = False

    def _failed(self, load: EndpointLoad, error: DialError, started: float) -> None:
        """Report a failed dial, and count it against the attempts."""
        plane = self._dataplane
        self._dial_at = now = plane.seconds()
        self._record.note_dial_error(error.name)
        new = False
        if error.ours:
            self._cluster.dial_abandoned(load)
            plane.dial_log.note(error, self._record, load.name)
        else:
            ejected = self._cluster.ejected
            new = self._cluster.failed(load, started, now, plane.rng, error.name)
            if plane.metrics is not None:
                plane.metrics.dial_failed(self._record, load.name)
                if self._cluster.ejected != ejected:
                    plane.metrics.endpoint_ejected(self._record, load.name)
        # For a host that does not exist, a router or the kernel refuses the dial after some seconds.
        if self._single or isinstance(error, DialTimeout) or now - started >= SILENCE:
            self._attempts_left -= 1
            self._race_limit -= 1
        elif not new:
            self._free_refusals -= 1
            if not self._free_refusals:
                self._attempts_left = 0

    def _abandon(self, load: EndpointLoad, started: float) -> None:
        """Report an abandoned dial: as a failure if it was silent for long, else without an outcome."""
        plane = self._dataplane
        now = plane.seconds()
        if now - started >= SILENCE:
            self._cluster.mark(load, started, now, plane.rng, SILENT)
        else:
            self._cluster.dial_abandoned(load)

    def _fail(self, ending: Ending) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            self.stop_counting()
            owner.no_endpoint(ending)

    # For the network.

    def dialed(self, upstream: Upstream) -> None:
        """Pass the connected endpoint to the owner."""
        owner, self._owner = self._owner, None
        self._dialing = None
        if owner is None:
            return
        now = self._dataplane.seconds()
        self._record.dial = now - self._first_dial_at
        if self._load is not None:
            self._cluster.succeeded(self._load, now)
        owner.endpoint_found(upstream)

    def dial_failed(self, error: DialError) -> None:
        """Try the next endpoint."""
        self._dialing = None
        if self._load is not None:
            self._failed(self._load, error, self._dial_at)
        self._try_next(error)

    def _try_next(self, error: DialError) -> None:
        if self._starting:
            self._error = error
        elif error.hopeless:
            self._fail(_ENDINGS[type(error)])
        else:
            self._dial_next(_ENDINGS[type(error)])

    # For the race.

    def seconds(self) -> float:
        """Return the clock's seconds."""
        now: float = self._dataplane.seconds()
        return now

    def next_entrant(self, first: EndpointLoad, last: EndpointLoad, started: int) -> EndpointLoad | None:
        """
        Choose the endpoint to dial while others stay silent. For an address of a DNS name, it is the name's next
        address, preferably of the other family; with a single attempt, only of the other family. For an endpoint whose
        last dial failed, it is the next endpoint of any kind.

        :param first: the endpoint that the race has begun with.
        :param last: the endpoint dialed last.
        :param started: number of dials under way.
        :return: None for no further endpoint.
        """
        if started >= self._race_limit or self._attempts_left <= 0:
            return None
        rest = list(self._candidates)
        name = first.shared_name
        among = [load for load in rest if name and load.shared_name == name]
        other_family = [load for load in among if load.is_ipv6 is not last.is_ipv6]
        if self._single:
            among = [load for load in among if load.is_ipv6 is not first.is_ipv6]
        elif other_family and (among[0].marked or not other_family[0].marked):
            among = other_family
        if self._probing and rest and (not among or among[0].marked):
            among = rest
        chosen = among[0] if among else None
        if chosen is not None:
            self._record.endpoint = chosen.name
        self._candidates = iter([load for load in rest if load is not chosen])
        return chosen

    def race_won(
        self, load: EndpointLoad, upstream: Upstream, started: float, beaten: list[tuple[EndpointLoad, float]]
    ) -> None:
        """
        Pass the endpoint that has answered first to the owner.

        :param started: the clock's seconds when its dial began.
        :param beaten: the endpoints that were dialed before it and have not answered, with the start of each dial.
        """
        plane = self._dataplane
        now = plane.seconds()
        for other, began in beaten:
            if load.shared_name and other.shared_name == load.shared_name and other.is_ipv6 is not load.is_ipv6:
                self._cluster.prefer(load, now)
            if other.is_ipv6 is load.is_ipv6 or other.marked:
                self._cluster.mark(other, began, now, plane.rng, SILENT)
        if self._load is not load:
            self.count_for(load)
        self._record.endpoint = load.name
        self._dial_at = started
        self.dialed(upstream)

    def race_failed(self, load: EndpointLoad, error: DialError, started: float, last: bool) -> None:
        """
        Report a failed dial of the race.

        :param last: no other dial is under way.
        """
        self._failed(load, error, started)
        if last:
            self._dialing = None
            self._try_next(error)
