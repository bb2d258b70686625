"""Tests of :mod:`meshgate.proxy.racing` and of what races are for, in a time that the test moves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.proxy.racing import HEAD_START
from meshgate.routing.connection_policy import Algorithm, Balancing, UpstreamPolicy
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.preferred_endpoints import REMEMBERED, Families
from meshgate.routing.table import Destination, Endpoint
from tests.fakes import FakedGateway, FakeTransport
from tests.peers import tcp_listener

NAME = "db.example.com"
A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
A6, B6, C6 = "2001:db8::1", "2001:db8::2", "2001:db8::3"
IN_TURN = UpstreamPolicy(balancing=Balancing(Algorithm.ROUND_ROBIN))


class Racing(FakedGateway):
    """A gateway of which the first client has come, to an endpoint that is a name with these addresses."""

    def __init__(self, *addresses: str, limits: Limits = Limits(), others: tuple[str, ...] = ()) -> None:  # noqa: B008
        endpoints = (Endpoint(NAME, 80, dns=True), *(Endpoint(each, 80) for each in others))
        self.destination = Destination("origin", 80, endpoints=endpoints, policy=IN_TURN)
        self.listener = tcp_listener(self.destination)
        super().__init__(self.listener, limits)
        self.resolver.answer(NAME, *addresses)

    @property
    def addresses(self) -> list[str]:
        """What was dialed, in order."""
        return [address for address, _ in self.reactor.dialed]

    def next_client(self) -> str:
        """The address that one more client is connected to first."""
        self.accept(self.listener, "198.51.100.8").makeConnection(FakeTransport(self.reactor))
        return self.addresses[-1]

    def load(self, address: str) -> EndpointLoad:
        """An endpoint as the balancer sees it."""
        loads = self.plane.clusters.of(self.destination).loads
        return next(load for load in loads if load.address == address)


class RaceTests(SynchronousTestCase):
    """Who is dialed when, and what is remembered."""

    def test_the_families_take_turns(self) -> None:
        """While all stay silent, one more is dialed every quarter of a second, of the other family each time."""
        gateway = Racing(A, B, C, A6, B6, C6, limits=Limits(dial_attempts=16))
        self.assertEqual(gateway.addresses, [A])
        gateway.reactor.advance(HEAD_START - 0.01)
        self.assertEqual(gateway.addresses, [A])
        gateway.reactor.pump([0.01, *[HEAD_START] * 9])
        self.assertEqual(gateway.addresses, [A, A6, B, B6, C, C6])

    def test_a_failure_is_followed_at_once(self) -> None:
        """Whoever fails, the next is dialed; the clock of the head start begins anew."""
        gateway = Racing(A, B, A6, B6, limits=Limits(dial_attempts=16))
        gateway.reactor.advance(HEAD_START)
        gateway.reactor.refuse_dial(1)
        self.assertEqual(gateway.addresses, [A, A6, B])
        gateway.reactor.advance(HEAD_START - 0.01)
        self.assertEqual(gateway.addresses, [A, A6, B])
        gateway.reactor.advance(0.01)
        self.assertEqual(gateway.addresses, [A, A6, B, B6])

    def test_the_first_that_answers(self) -> None:
        """The others are given up; what the client has said goes to the winner alone."""
        gateway = Racing(A, A6, limits=Limits(dial_attempts=16))
        gateway.client.peer_sends(b"said meanwhile")
        gateway.reactor.advance(HEAD_START)
        gateway.upstream = gateway.reactor.accept_dial(1)
        gateway.turn()
        self.assertTrue(gateway.reactor.dial_is_given_up(0))
        self.assertEqual(gateway.upstream.written, b"said meanwhile")
        record = gateway.inbound.record
        self.assertEqual((record.endpoint, record.dial), (f"[{A6}]:80", HEAD_START))
        self.assertEqual((gateway.load(A).active, gateway.load(A6).active), (0, 1))

    def test_the_family_that_won_is_remembered(self) -> None:
        """It is used for ten minutes, of which nobody is marked; then the other one has its chance again."""
        gateway = Racing(A, B, A6, B6)
        gateway.reactor.advance(HEAD_START)
        gateway.reactor.accept_dial(1)
        self.assertFalse(gateway.load(A).marked)
        self.assertEqual({gateway.next_client() for _ in range(4)}, {A6, B6})
        gateway.reactor.advance(REMEMBERED)
        self.assertEqual({gateway.next_client() for _ in range(4)}, {A, B})

    def test_the_other_family_takes_over(self) -> None:
        """When the family that is used refuses, the other one serves, until it is back."""
        gateway = Racing(A, A6)
        gateway.reactor.refuse_dial()
        self.assertEqual(gateway.addresses, [A, A6])
        gateway.reactor.accept_dial()
        self.assertEqual({gateway.next_client() for _ in range(4)}, {A6})
        gateway.reactor.advance(1)
        self.assertEqual([gateway.next_client() for _ in range(2)], [A, A6])

    def test_an_address_of_the_same_family_that_lost(self) -> None:
        """It is tried last until its back-off ends, though nothing has failed for outlier detection."""
        gateway = Racing(A, B)
        gateway.reactor.advance(HEAD_START)
        gateway.reactor.accept_dial(1)
        self.assertTrue(gateway.load(A).marked)
        self.assertEqual({gateway.next_client() for _ in range(4)}, {B})

    def test_the_one_that_was_slow_and_won(self) -> None:
        """An address that answers after another one was dialed, too, is as good as before."""
        gateway = Racing(A, A6)
        gateway.reactor.advance(HEAD_START)
        gateway.reactor.accept_dial(0)
        self.assertTrue(gateway.reactor.dial_is_given_up(1))
        self.assertEqual(gateway.inbound.record.endpoint, f"{A}:80")
        self.assertEqual(gateway.next_client(), A)

    def test_the_log_names_the_last(self) -> None:
        """Of a race that nobody has won, the record has the endpoint that was dialed last."""
        gateway = Racing(A, A6)
        gateway.reactor.advance(HEAD_START)
        gateway.reactor.refuse_dial(1)
        gateway.reactor.time_out_dial(0)
        self.assertEqual((gateway.ending, gateway.records[0].endpoint), (Ending.DIAL_TIMEOUT, f"[{A6}]:80"))

    def test_other_endpoints_are_not_raced(self) -> None:
        """An endpoint that is another one waits for its turn; a name with one address is like it."""
        gateway = Racing(A, others=(B, C))
        gateway.reactor.advance(9)
        self.assertEqual(gateway.addresses, [A])
        gateway.reactor.time_out_dial()
        self.assertEqual(gateway.addresses, [A, B])

    def test_the_rest_follows_the_race(self) -> None:
        """When all addresses of a name have failed, the other endpoints are tried; each silent one was an attempt."""
        gateway = Racing(A, A6, others=(C,))
        gateway.reactor.advance(HEAD_START)
        gateway.reactor.time_out_dial(0)
        self.assertEqual(gateway.addresses, [A, A6])
        gateway.reactor.refuse_dial(1)
        self.assertEqual(gateway.addresses, [A, A6, C])
        gateway.reactor.time_out_dial(2)
        self.assertEqual(gateway.ending, Ending.DIAL_TIMEOUT)
        self.assertEqual(gateway.records[0].dial_error, "ETIMEDOUT,ECONNREFUSED")

    def test_a_client_that_leaves(self) -> None:
        """All dials are given up. Those that were silent for a second are tried last; sooner, nothing is known."""
        for waits, marked in ((0.5, [False, False]), (1.1, [True, False])):
            gateway = Racing(A, A6)
            gateway.reactor.advance(HEAD_START)
            gateway.reactor.advance(waits - HEAD_START)
            gateway.client.peer_resets()
            self.assertTrue(gateway.reactor.dial_is_given_up(0))
            self.assertTrue(gateway.reactor.dial_is_given_up(1))
            self.assertEqual([gateway.load(each).marked for each in (A, A6)], marked)
            self.assertEqual([gateway.load(each).active for each in (A, A6)], [0, 0])

    def test_a_probe_is_raced(self) -> None:
        """An endpoint that had failed has a quarter of a second; if it is silent still, its next back-off begins."""
        gateway = Racing(A, others=(B,))
        gateway.reactor.time_out_dial()
        gateway.reactor.accept_dial()
        gateway.reactor.advance(1)
        self.assertEqual(gateway.next_client(), A)
        self.assertEqual(gateway.next_client(), B)
        gateway.reactor.advance(HEAD_START)
        self.assertEqual(gateway.addresses[-1], B)
        gateway.reactor.accept_dial()
        gateway.reactor.advance(1)
        self.assertEqual({gateway.next_client() for _ in range(4)}, {B})
        gateway.reactor.advance(1)
        self.assertEqual([gateway.next_client() for _ in range(2)], [A, B])


class FamiliesTests(SynchronousTestCase):
    """What is remembered of names."""

    def test_memory_is_bounded(self) -> None:
        """Of very many names, those remembered last count; the default is IPv4."""
        families = Families()
        for number in range(5000):
            families.prefer(f"{number}.example.com:80", True, 0)
        self.assertFalse(families.prefers_ipv6("0.example.com:80", 1))
        self.assertTrue(families.prefers_ipv6("4999.example.com:80", 1))
        families.prefer("4999.example.com:80", False, 2)
        self.assertFalse(families.prefers_ipv6("4999.example.com:80", 3))
