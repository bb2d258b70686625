"""Overload: limits over all connections, over those of a listener and of a client, and descriptors that run out."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Admission, Limits, client_key, client_number
from meshgate.proxy.shared_counts import SharedCounts, bytes_for, new_seed
from meshgate.routing.addresses import address
from meshgate.routing.table import Endpoint
from tests.fakes import FakedGateway
from tests.peers import GatewayUnderTest, Origin, on_every_transport, tcp_listener
from tests.support import wait_for

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def admission() -> Admission:
    """One of a single worker."""
    return Admission(SharedCounts(bytearray(bytes_for(1)), 0, new_seed()))


class AdmissionTests(SynchronousTestCase):
    """Connections are admitted or turned away."""

    def test_without_limits_nothing_is_counted(self) -> None:
        """Everybody is let in, and there is nothing to be given back."""
        self.assertEqual(admission().enter(Limits(), "one", HERE), ())

    def test_each_limit_counts_its_own(self) -> None:
        """There are limits for all connections, for those of a listener and for those of a client."""
        for limits, others in [
            (Limits(connections=2), [False, False]),
            (Limits(connections_per_listener=2), [True, False]),
            (Limits(connections_per_client=2), [False, True]),
        ]:
            door = admission()
            for _ in range(2):
                self.assertIsNotNone(door.enter(limits, "one", HERE))
            self.assertIsNone(door.enter(limits, "one", HERE))
            room = [door.enter(limits, "two", HERE) is not None, door.enter(limits, "one", ELSEWHERE) is not None]
            self.assertEqual(room, others)

    def test_who_leaves_makes_room(self) -> None:
        """A place that was given back is given to the next."""
        door, limits = admission(), Limits(connections=1, connections_per_listener=1, connections_per_client=1)
        first = door.enter(limits, "one", HERE)
        assert first is not None
        self.assertIsNone(door.enter(limits, "one", HERE))
        door.leave(first)
        self.assertIsNotNone(door.enter(limits, "one", HERE))

    def test_who_is_turned_away_is_not_counted(self) -> None:
        """A client that is over its own limit takes no room from the others."""
        door, limits = admission(), Limits(connections=2, connections_per_client=1)
        self.assertIsNotNone(door.enter(limits, "one", HERE))
        for _ in range(5):
            self.assertIsNone(door.enter(limits, "one", HERE))
        self.assertIsNotNone(door.enter(limits, "one", ELSEWHERE))

    @given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.integers(1, 4))
    def test_any_order_of_comings_and_goings(self, events: list[tuple[int, bool]], most: int) -> None:
        """There are never more of one client than its limit, and who is turned away finds it reached."""
        door, limits = admission(), Limits(connections_per_client=most)
        inside: dict[int, list[object]] = {}
        for client, enters in events:
            there = inside.setdefault(client, [])
            if enters:
                counted = door.enter(limits, "one", f"192.0.2.{client}")
                self.assertEqual(counted is None, len(there) == most)
                if counted is not None:
                    there.append(counted)
            elif there:
                door.leave(there.pop())  # type: ignore[arg-type]


class ClientKeyTests(SynchronousTestCase):
    """The key that a client is counted by."""

    def test_addresses(self) -> None:
        """IPv4 by address; IPv6 by network, since one client has all the addresses in it."""
        self.assertEqual(client_key("192.0.2.1"), client_key("::ffff:192.0.2.1"))
        self.assertNotEqual(client_key("192.0.2.1"), client_key("192.0.2.2"))
        self.assertEqual(client_key("2001:db8:1:2:3::4"), client_key("2001:db8:1:2::"))
        self.assertNotEqual(client_key("2001:db8:1:2::1"), client_key("2001:db8:1:3::1"))
        self.assertEqual(client_key("fe80::1%eth0"), client_key("fe80::2"))
        self.assertEqual(client_key(""), "")

    @given(st.one_of(st.ip_addresses().map(str), st.text(max_size=20)))
    def test_the_fast_reading_of_an_address(self, text: str) -> None:
        """It reads what Python's own does, and nothing else."""
        self.assertEqual(client_number(text), address(text))


class ChangedLimitTests(SynchronousTestCase):
    """Limits that come while connections are there."""

    def test_those_who_are_there_count(self) -> None:
        """A limit that is set later counts the connections from before, and turns none of them away."""
        listener = tcp_listener(Endpoint("192.0.2.9", 80))
        gateway = FakedGateway(listener, Limits())
        gateway.plane.limits = Limits(connections=1)
        self.assertTrue(gateway.client.connected)
        self.assertIsNone(gateway.accept(listener, "198.51.100.8"))
        self.assertEqual([record.ending for record in gateway.records], [Ending.OVER_LIMIT])
        gateway.client.peer_resets()
        self.assertIsNotNone(gateway.accept(listener, "198.51.100.8"))


@on_every_transport
class RealTests(TestCase):
    """Real connections."""

    async def test_one_too_many_is_closed_and_logged(self) -> None:
        """It is closed without an endpoint being dialed, and its record says why; later there is room again."""
        origin = Origin(self)
        gateway = GatewayUnderTest(self, Limits(connections=1))
        gateway.serve(listener := tcp_listener(origin.endpoint))
        first = await gateway.connect(listener)
        await origin.peer()
        second = socket.create_connection(gateway.addresses[listener.key], timeout=10)
        self.addCleanup(second.close)
        record = await gateway.record()
        self.assertEqual((record.ending, record.endpoint), (Ending.OVER_LIMIT, ""))
        self.assertEqual(second.recv(1), b"")
        self.assertEqual(len(origin.peers), 1)
        first.reset()
        await wait_for(lambda: gateway.plane.count == 0, "the first one's end")
        await gateway.connect(listener)
        await origin.peer(1)
