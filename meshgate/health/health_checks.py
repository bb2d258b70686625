"""
The checks of all endpoints of the table in force.

The problem: every worker needs the health of the endpoints, but an endpoint should be checked once, not once by each;
and a table may be replaced at any moment, which must not make an unhealthy endpoint healthy.

The approach: the control process makes the checks. What is checked is a target: an address and port with one check,
whatever destinations it belongs to. After each table the targets are those of the table; one that stays keeps its
health and its time, and one whose check has changed begins with the health it had. When the health of a target changes,
all unhealthy ones are published together, a moment later, so that many that fail at once make one message.

The invariants: a target has one check under way at the most, and all together :data:`MOST_AT_ONCE`. The first check of
a new target comes within a second. Addresses of DNS names are those that the workers have resolved.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from meshgate.health.probing import probe
from meshgate.resources.wording import listing
from meshgate.routing.addresses import socket_text
from meshgate.routing.connection_policy import HealthCheck
from meshgate.routing.failing_endpoints import UNHEALTHY, HealthState, LeftOut, pause
from meshgate.routing.table import Destination, RoutingTable
from meshgate.transport.dns.resolver import NameFigures

MOST_AT_ONCE: Final = 256
"""Checks under way at once; a check that is due later waits for :data:`RETRY` seconds at a time."""

RETRY: Final = 0.05

FIRST_WITHIN: Final = 1.0
"""Seconds within which new targets are checked for the first time."""

PUBLISH_AFTER: Final = 0.02
"""Seconds from a change of the health of a target until it is published."""

NAMES_EVERY: Final = 1.0
"""Seconds between two looks at the addresses of DNS names."""

NAMED: Final = 3
"""Destinations that a line of the log names."""

Unhealthy = Mapping[HealthCheck, frozenset[str]]
"""The unhealthy endpoints of each check, as ``address:port``."""

_Key = tuple[HealthCheck, str, int]


class CheckCounts(NamedTuple):
    """
    The checks of one endpoint of one destination, for metrics.

    :ivar healthy: the endpoint's health now.
    """

    destination: str
    endpoint: str
    healthy: bool
    succeeded: int
    failed: int


class _Target:
    """An endpoint with a check."""

    def __init__(self, key: _Key, state: HealthState) -> None:
        self.check, self.address, self.port = key
        self.state = state
        self.destinations: list[str] = []
        self.succeeded = self.failed = 0
        self.waiting: IDelayedCall | None = None
        self.under_way: Deferred[None] | None = None

    @property
    def name(self) -> str:
        """The endpoint, as workers name it."""
        return socket_text(self.address, self.port)

    def stop(self) -> None:
        """Check it no more."""
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
        under_way, self.under_way = self.under_way, None
        if under_way is not None:
            under_way.cancel()


class HealthChecks:
    """
    Checks the endpoints of the table in force.

    :param reactor: provides IReactorTCP, IReactorUNIX and IReactorTime.
    :param names: returns the figures of the DNS names of endpoints.
    :param publish: called with the unhealthy endpoints when they have changed, and the same for people.
    :param sources: returns the local addresses to connect from; of a family without any, the kernel chooses.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        rng: random.Random,
        names: Callable[[], Mapping[str, NameFigures]],
        publish: Callable[[Unhealthy, Sequence[LeftOut]], None],
        sources: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._reactor = reactor
        self._rng = rng
        self._names = names
        self._publish = publish
        self._sources = sources
        self._checked: tuple[Destination, ...] = ()
        self._targets: dict[_Key, _Target] = {}
        self._under_way = 0
        self._publishing: IDelayedCall | None = None
        self._looking: IDelayedCall | None = None
        #: As :meth:`unhealthy`: what another process has found, for the first table.
        self.known_before: Mapping[str, str] = {}

    def unhealthy(self) -> dict[str, str]:
        """The endpoints that are unhealthy, as ``address:port``, each with the reason of its last failure."""
        return {each.name: each.state.reason for each in self._targets.values() if not each.state.healthy}

    def follow(self, table: RoutingTable) -> None:
        """Check the endpoints of a table from now on."""
        self._checked = tuple(each for each in table.destinations() if each.policy.check is not None)
        self._update()
        self.known_before = {}

    def stop(self) -> None:
        """Check nothing any more."""
        targets, self._targets = self._targets, {}
        for target in targets.values():
            target.stop()
        for call in (self._publishing, self._looking):
            if call is not None and call.active():
                call.cancel()

    def counts(self) -> Iterator[CheckCounts]:
        """The checks so far of the endpoints of the table."""
        for target in self._targets.values():
            for destination in target.destinations:
                yield CheckCounts(destination, target.name, target.state.healthy, target.succeeded, target.failed)

    def _update(self) -> None:
        """Make the targets those of the destinations, and of the addresses of their names."""
        wanted: dict[_Key, dict[str, None]] = {}
        for destination in self._checked:
            for key in self._keys(destination):
                wanted.setdefault(key, {})[str(destination)] = None
        before, self._targets = self._targets, {}
        known = {key[1:]: target.state for key, target in before.items()}
        for key, destinations in wanted.items():
            target = before.pop(key, None)
            if target is None:
                target = _Target(key, HealthState(key[0], known.get(key[1:]) or self._state_before(key)))
                self._wait(target, self._rng.random() * min(FIRST_WITHIN, key[0].interval))
            target.destinations = list(destinations)
            self._targets[key] = target
        for target in before.values():
            target.stop()
        # Workers that have the table before yet must not take an endpoint for healthy whose check is another one now.
        gone = [each for each in before.values() if not each.state.healthy]
        if gone or any(not each.state.healthy for each in self._targets.values()):
            self._publish_now(gone)
        self._look_at_names()

    def _state_before(self, key: _Key) -> HealthState | None:
        reason = self.known_before.get(socket_text(*key[1:]))
        if not reason:
            return None
        state = HealthState(key[0])
        state.judge(reason)
        return state

    def _keys(self, destination: Destination) -> Iterator[_Key]:
        check = destination.policy.check
        if check is None:
            return
        for endpoint in destination.endpoints:
            addresses: Iterable[str] = (endpoint.address,)
            if endpoint.dns:
                figures = self._names().get(endpoint.address)
                addresses = figures.addresses if figures is not None else ()
            for address in addresses:
                yield check, address, endpoint.port

    def _look_at_names(self) -> None:
        """Look at the addresses of names now and then, if there are any."""
        by_name = any(endpoint.dns for each in self._checked for endpoint in each.endpoints)
        if by_name and (self._looking is None or not self._looking.active()):
            self._looking = self._reactor.callLater(NAMES_EVERY, self._update)

    def _wait(self, target: _Target, seconds: float) -> None:
        target.waiting = self._reactor.callLater(seconds, self._check, target)

    def _check(self, target: _Target) -> None:
        target.waiting = None
        if self._under_way >= MOST_AT_ONCE:
            self._wait(target, RETRY)
            return
        self._under_way += 1
        source = next((each for each in self._sources() if (":" in each) is (":" in target.address)), "")
        outcome = probe(self._reactor, target.check, target.address, target.port, source)
        target.under_way = outcome.addCallback(lambda failure: self._judge(target, failure))

    def _judge(self, target: _Target, failure: str) -> None:
        self._under_way -= 1
        if self._targets.get((target.check, target.address, target.port)) is not target:
            return  # stopped, or no longer in the table
        target.under_way = None
        if failure:
            target.failed += 1
        else:
            target.succeeded += 1
        if target.state.judge(failure):
            self._log_change(target)
            self._publish_soon()
        self._wait(target, pause(target.check, self._rng))

    def _log_change(self, target: _Target) -> None:
        more = len(target.destinations) - NAMED
        of = listing([*target.destinations[:NAMED], *([f"{more} more"] if more > 0 else [])])
        if target.state.healthy:
            self.log.info("{endpoint} of {destination} passes its health check", endpoint=target.name, destination=of)
        else:
            self.log.warn(
                "{endpoint} of {destination} fails its health check, and gets no connections: {reason}",
                endpoint=target.name,
                destination=of,
                reason=target.state.reason,
            )

    def _publish_soon(self) -> None:
        if self._publishing is None or not self._publishing.active():
            self._publishing = self._reactor.callLater(PUBLISH_AFTER, self._publish_now)

    def _publish_now(self, gone: Iterable[_Target] = ()) -> None:
        """
        Publish the unhealthy endpoints.

        :param gone: those of the table before, which are published once more.
        """
        found: dict[HealthCheck, set[str]] = {}
        for target in gone:
            found.setdefault(target.check, set()).add(target.name)
        rows = []
        for target in self._targets.values():
            if not target.state.healthy:
                found.setdefault(target.check, set()).add(target.name)
                rows += [
                    LeftOut(destination, target.name, UNHEALTHY, None, reason=target.state.reason)
                    for destination in target.destinations
                ]
        self._publish({check: frozenset(names) for check, names in found.items()}, rows)
