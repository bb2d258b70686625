"""Tests of :mod:`meshgate.health.health_checks`, by a clock that the test moves and checks whose outcome it decides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from meshgate.health import health_checks
from meshgate.health.health_checks import MOST_AT_ONCE, HealthChecks, Unhealthy
from meshgate.routing.connection_policy import HealthCheck, UpstreamPolicy
from meshgate.routing.failing_endpoints import LeftOut
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.transport.dns.resolver import NameFigures

CHECK = HealthCheck(interval=10, jitter=0, rise=2, fall=3)
DOWN = "it cannot be connected to: Connection refused"


def destination(*addresses: str, check: HealthCheck | None = CHECK, host: str = "db", dns: bool = False) -> Destination:
    """A destination with endpoints on port 80."""
    endpoints = tuple(Endpoint(each, 80, dns=dns) for each in addresses)
    return Destination(host, 80, endpoints=endpoints, policy=UpstreamPolicy(check=check))


def table(*destinations: Destination) -> RoutingTable:
    """A table with a route to each."""
    key = ListenerKey("0.0.0.0", 443)
    chain = Chain((), "ns/gw", "tcp", "ns/vs", "spec.tcp[0]", destinations)
    return RoutingTable(1, {key: Listener(key, False, False, catch_all=chain)})


class HealthChecksTests(SynchronousTestCase):
    """The checks of a table's endpoints."""

    def setUp(self) -> None:
        """Replace the checks."""
        self.clock = Clock()
        self.under_way: dict[str, Deferred[str]] = {}
        self.given_up: list[str] = []
        self.made: list[tuple[str, float, str]] = []
        self.names: dict[str, NameFigures] = {}
        self.published: list[tuple[Unhealthy, Sequence[LeftOut]]] = []
        self.sources: tuple[str, ...] = ()
        self.patch(health_checks, "probe", self.probe)
        self.checks = HealthChecks(
            self.clock,
            random.Random(1),
            lambda: self.names,
            lambda unhealthy, rows: self.published.append((unhealthy, rows)),
            lambda: self.sources,
        )

    def probe(self, reactor: Any, check: HealthCheck, address: str, port: int, source: str) -> Deferred[str]:
        """A check that is under way until the test ends it."""

        def cancel(outcome: Deferred[str]) -> None:
            self.given_up.append(address)
            outcome.callback("given up")

        self.assertNotIn(address, self.under_way)
        self.made.append((address, self.clock.seconds(), source))
        outcome: Deferred[str] = Deferred(cancel)
        self.under_way[address] = outcome

        def ended(result: str) -> str:
            del self.under_way[address]
            return result

        return outcome.addCallback(ended)

    def ends(self, address: str, failure: str = "") -> None:
        """A check ends."""
        found = self.under_way[address]
        found.callback(failure)

    def check(self, address: str, *failures: str) -> None:
        """Let checks of an endpoint end like this."""
        for each in failures:
            self.clock.pump([0.5] * 22)
            self.ends(address, each)
        self.clock.advance(0.1)

    @property
    def down(self) -> set[str]:
        """The endpoints that were published last, as unhealthy by the one check."""
        return set(self.published[-1][0].get(CHECK, ())) if self.published else set()

    def test_an_upgrade(self) -> None:
        """An endpoint that another process has found unhealthy is so from the first table on, until checks pass."""
        before = table(destination("10.0.0.1", "10.0.0.2"))
        self.checks.follow(before)
        self.clock.advance(1)
        self.ends("10.0.0.1")
        self.ends("10.0.0.2", DOWN)
        found = self.checks.unhealthy()
        self.assertEqual(list(found.values()), [DOWN])
        self.checks.stop()
        self.setUp()
        self.checks.known_before = found
        self.checks.follow(before)
        self.assertEqual(self.down, set(found))
        self.assertEqual([each.reason for each in self.published[-1][1]], [DOWN])
        self.check("10.0.0.2", *[""] * CHECK.rise)
        self.assertEqual(self.down, set())

    def test_a_unix_socket(self) -> None:
        """It is published by the name that workers have for it."""
        endpoint = Endpoint("unix:///run/db.sock", 0)
        self.checks.follow(table(replace(destination(), endpoints=(endpoint,))))
        self.clock.advance(1)
        self.ends(endpoint.address, DOWN)
        self.clock.advance(0.1)
        self.assertEqual(
            (self.down, [each.endpoint for each in self.published[-1][1]]), ({str(endpoint)}, [str(endpoint)])
        )

    def test_failures_and_successes(self) -> None:
        """The first check comes within a second; so many in a row change the health, which is published and logged."""
        self.checks.follow(table(destination("10.0.0.1", "10.0.0.2")))
        self.clock.advance(1)
        self.assertEqual({address for address, _, _ in self.made}, {"10.0.0.1", "10.0.0.2"})
        self.ends("10.0.0.1")
        self.ends("10.0.0.2")
        with capturedLogs() as events:
            self.check("10.0.0.1", DOWN, DOWN)
            self.assertEqual(self.published, [])
            self.check("10.0.0.1", DOWN)
            self.assertEqual(self.down, {"10.0.0.1:80"})
            self.check("10.0.0.1", "", "")
        self.assertEqual(self.down, set())
        self.assertEqual(
            [formatEvent(each) for each in events],
            [
                "10.0.0.1:80 of db:80 fails its health check, and gets no connections: "
                "it cannot be connected to: Connection refused",
                "10.0.0.1:80 of db:80 passes its health check",
            ],
        )

    def test_people_are_told(self) -> None:
        """The endpoint, its destinations and the reason; and how many checks were made."""
        self.checks.follow(table(destination("10.0.0.1"), destination("10.0.0.1", host="web")))
        self.check("10.0.0.1", DOWN)
        row = LeftOut("db:80", "10.0.0.1:80", "unhealthy", None, reason=DOWN)
        self.assertEqual(self.published[-1][1], [row, replace(row, destination="web:80")])
        self.assertEqual(
            [tuple(each) for each in self.checks.counts()],
            [("db:80", "10.0.0.1:80", False, 0, 1), ("web:80", "10.0.0.1:80", False, 0, 1)],
        )

    def test_an_endpoint_of_many_is_checked_once(self) -> None:
        """Destinations with an equal check share it; another check of the same endpoint is one more."""
        other = destination("10.0.0.2", check=HealthCheck(protocol="tls"), host="web")
        self.checks.follow(table(destination("10.0.0.1"), destination("10.0.0.1", host="web"), other))
        self.clock.advance(1)
        self.assertEqual([address for address, _, _ in sorted(self.made)], ["10.0.0.1", "10.0.0.2"])

    def test_without_checks_nothing_is_done(self) -> None:
        """No timer runs for destinations without one."""
        self.checks.follow(table(destination("10.0.0.1", check=None)))
        self.assertEqual((self.clock.getDelayedCalls(), self.published), ([], []))

    def test_a_table_that_keeps_an_endpoint(self) -> None:
        """Its health and its counts stay; one that is gone is checked no more, and counts as unhealthy no more."""
        self.checks.follow(table(destination("10.0.0.1", "10.0.0.2")))
        self.check("10.0.0.1", DOWN)
        self.check("10.0.0.2", DOWN)
        self.checks.follow(table(destination("10.0.0.1")))
        self.assertEqual([each.endpoint for each in self.published[-1][1]], ["10.0.0.1:80"])
        self.assertEqual([each.failed for each in self.checks.counts()], [1])
        self.checks.follow(table())
        self.clock.advance(1)
        self.assertEqual((self.published[-1][1], self.clock.getDelayedCalls()), ([], []))
        self.assertEqual(self.given_up, ["10.0.0.1"] if "10.0.0.1" in self.given_up else [])

    def test_a_check_that_changes(self) -> None:
        """An unhealthy endpoint stays so under its new check, at once, until that knows better."""
        self.checks.follow(table(destination("10.0.0.1")))
        self.check("10.0.0.1", DOWN)
        changed = replace(CHECK, interval=5.0)
        self.checks.follow(table(destination("10.0.0.1", check=changed)))
        # Both: some workers may have the table before yet.
        self.assertEqual(self.published[-1][0], {CHECK: {"10.0.0.1:80"}, changed: {"10.0.0.1:80"}})
        self.check("10.0.0.1", "", "")
        self.assertEqual(self.published[-1][0], {})

    def test_a_check_under_way_is_given_up(self) -> None:
        """When its endpoint is gone, and at the end."""
        self.checks.follow(table(destination("10.0.0.1", "10.0.0.2")))
        self.clock.advance(1)
        self.checks.follow(table(destination("10.0.0.2")))
        self.assertEqual(self.given_up, ["10.0.0.1"])
        self.checks.stop()
        self.assertEqual((self.given_up, self.clock.getDelayedCalls()), (["10.0.0.1", "10.0.0.2"], []))

    def test_names(self) -> None:
        """The addresses that the workers have resolved are checked, and followed when they change."""
        self.checks.follow(table(destination("db.example.com", dns=True)))
        self.clock.advance(1)
        self.assertEqual(self.made, [])
        self.names["db.example.com"] = NameFigures(("10.0.0.1", "2001:db8::1"))
        self.clock.pump([0.5] * 6)
        self.assertEqual({address for address, _, _ in self.made}, {"10.0.0.1", "2001:db8::1"})
        self.ends("2001:db8::1", DOWN)
        self.clock.advance(0.1)
        self.assertEqual(self.down, {"[2001:db8::1]:80"})
        self.names["db.example.com"] = NameFigures(("10.0.0.1",))
        self.clock.pump([0.5] * 3)
        self.assertEqual((self.published[-1][1], len(list(self.checks.counts()))), ([], 1))

    def test_not_too_many_at_once(self) -> None:
        """Of thousands that are due together, some wait for others; none is left out."""
        addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(2 * MOST_AT_ONCE)]
        self.checks.follow(table(destination(*addresses)))
        self.clock.advance(1)
        self.assertEqual(len(self.under_way), MOST_AT_ONCE)
        for address in tuple(self.under_way):
            self.ends(address)
        self.clock.pump([0.05] * 3)
        self.assertEqual({address for address, _, _ in self.made}, set(addresses))

    def test_many_that_fail_together(self) -> None:
        """They are published together."""
        addresses = [f"10.0.0.{number}" for number in range(100)]
        self.checks.follow(table(destination(*addresses)))
        self.clock.advance(1)
        for address in addresses:
            self.ends(address, DOWN)
        self.clock.advance(0.1)
        self.assertEqual((len(self.published), len(self.down)), (1, 100))

    def test_the_address_of_origin(self) -> None:
        """Checks come from where connections come from, of the family of the endpoint."""
        self.sources = ("2001:db8::7", "192.0.2.7")
        self.checks.follow(table(destination("10.0.0.1", "2001:db8::1")))
        self.clock.advance(1)
        self.assertEqual(
            {(address, source) for address, _, source in self.made},
            {("10.0.0.1", "192.0.2.7"), ("2001:db8::1", "2001:db8::7")},
        )
