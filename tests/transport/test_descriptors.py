"""Descriptors that run out: ports pause, look again, and go on; one line in the log for all of it."""

from __future__ import annotations

import os
import resource
import socket
import sys
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.routing.connection_policy import Outliers, UpstreamPolicy
from meshgate.routing.table import Destination, Endpoint
from meshgate.transport.descriptors import PAUSE, PortLoad, Shortage, current_limit, raise_limit
from tests.hello_builder import build_hello
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, on_every_transport, sni_listener, tcp_listener
from tests.support import Program, wait_for


class FakePort:
    """
    Notes whether it may accept.

    :ivar connections: how many it has.
    """

    def __init__(self, shortage: Shortage, name: str) -> None:
        self.accepts = True
        self.name = name
        self.connections = 0
        self.waiting = 0
        self._shortage = shortage

    def pause(self) -> None:
        """As Pausable."""
        self.accepts = False

    def resume(self) -> None:
        """As Pausable."""
        self.accepts = self._shortage.allows(self)

    def load(self) -> PortLoad:
        """As Pausable."""
        return PortLoad(self.connections, self.waiting)


class ShortageTests(SynchronousTestCase):
    """A shortage on a clock and a limit of the test."""

    def setUp(self) -> None:
        """Two ports, and plenty of descriptors."""
        self.clock = Clock()
        self.limit = 10_000
        self.shortage = Shortage(self.clock, lambda: self.limit)
        self.ports = [FakePort(self.shortage, name) for name in ("one", "other")]
        for port in self.ports:
            self.shortage.ports.add(port)
        self.lines: list[str] = []
        observer: Any = self.note
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def note(self, event: LogEvent) -> None:
        """Keep what is logged about it."""
        if event.get("log_namespace", "").startswith("meshgate.transport.descriptors"):
            self.lines.append(str(event["log_format"]))

    def accepting(self) -> list[bool]:
        """Which ports accept."""
        return [port.accepts for port in self.ports]

    def test_all_ports_pause_and_go_on(self) -> None:
        """One port that finds none pauses all; when there are some again, all go on."""
        self.limit = 4
        self.shortage.begin("none left")
        self.assertEqual((self.shortage.exhausted, self.accepting()), (True, [False, False]))
        self.clock.pump([PAUSE] * 3)
        self.assertEqual(self.accepting(), [False, False])
        self.limit = 10_000
        self.clock.advance(PAUSE)
        self.assertEqual((self.shortage.exhausted, self.accepting()), (False, [True, True]))

    def test_it_is_said_once(self) -> None:
        """However long it lasts and however often it comes back at once, there is one line, and one at its end."""
        for _ in range(3):
            self.shortage.begin("none left")
            self.shortage.begin("none left")
            self.clock.advance(PAUSE)
        self.assertEqual(len(self.lines), 1)
        self.clock.advance(PAUSE)
        self.assertEqual(len(self.lines), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def limited(self, limit: int) -> None:
        """Have a limit."""
        self.limit = limit
        self.shortage.measure()

    def test_a_descriptor_is_left_for_each_endpoint(self) -> None:
        """Descriptors that connections without an endpoint will need count as used."""
        self.limited(1000)
        self.ports[0].waiting = 399
        self.assertFalse(self.shortage.stops(self.ports[0], 568))
        self.assertTrue(self.shortage.stops(self.ports[0], 569))
        self.assertEqual(self.accepting(), [False, False])
        self.clock.advance(PAUSE)
        self.assertEqual(self.accepting(), [True, True])

    def test_nothing_is_judged_below_half(self) -> None:
        """However many wait, there is a descriptor for each of them."""
        self.limited(1000)
        self.ports[0].waiting = self.shortage.threshold - 1
        self.assertFalse(self.shortage.stops(self.ports[0], self.shortage.threshold - 1))

    def test_a_port_that_has_its_share(self) -> None:
        """With a quarter of the descriptors left, it waits until it has less, and the others go on; it is said once."""
        self.limited(1000)
        greedy, other = self.ports
        greedy.connections = self.shortage.share
        self.assertFalse(self.shortage.stops(greedy, 749))
        self.assertTrue(self.shortage.stops(greedy, 750))
        self.assertFalse(self.shortage.stops(other, 751))
        self.assertEqual(self.accepting(), [False, True])
        self.patch(self.shortage, "_next_descriptor", lambda: 750)
        self.clock.advance(PAUSE)
        self.assertEqual(self.accepting(), [False, True])
        greedy.connections -= 1
        self.clock.advance(PAUSE)
        self.assertEqual(self.accepting(), [True, True])
        greedy.connections += 1
        self.assertTrue(self.shortage.stops(greedy, 750))
        self.assertEqual(len(self.lines), 1)

    def test_plenty_again(self) -> None:
        """As soon as a quarter is free, everybody accepts, whatever they have."""
        self.limited(1000)
        self.ports[0].connections = 10_000
        self.assertTrue(self.shortage.stops(self.ports[0], 750))
        self.clock.advance(PAUSE)
        self.assertEqual((self.accepting(), self.clock.getDelayedCalls()), ([True, True], []))

    def test_a_shortage_of_all_keeps_who_is_held(self) -> None:
        """A port that has its share still waits when the others go on."""
        self.limited(1000)
        greedy = self.ports[0]
        greedy.connections = self.shortage.share
        self.patch(self.shortage, "_next_descriptor", lambda: 750)
        self.assertTrue(self.shortage.stops(greedy, 750))
        self.shortage.begin("none left")
        self.assertEqual(self.accepting(), [False, False])
        self.clock.advance(PAUSE)
        self.assertEqual(self.accepting(), [False, True])

    def test_one_listener_with_two_sockets(self) -> None:
        """Sockets of one listener share its share."""
        self.limited(1000)
        alone = self.shortage.share
        self.shortage.ports.add(FakePort(self.shortage, "one"))
        self.assertEqual(self.shortage.share, alone)

    def test_a_limit_that_was_raised(self) -> None:
        """A port that opens after it counts by the new one."""
        self.limit = 100
        self.shortage.measure()
        self.limit = 10_000
        self.shortage.add(self.ports[0])
        self.assertFalse(self.shortage.stops(self.ports[0], 200))

    def test_stopping(self) -> None:
        """Nothing is tried again."""
        self.shortage.begin("none left")
        self.shortage.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LimitTests(SynchronousTestCase):
    """The process's own limit."""

    def test_it_is_raised_as_far_as_it_goes(self) -> None:
        """The soft limit becomes the hard one."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] // 2, before[1]))
        self.assertEqual(raise_limit(), before[1])
        self.assertEqual(current_limit(), before[1])


ORIGIN = """
import socket

listening = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listening.getsockname()[1], flush=True)
connections = []
while True:
    connections.append(listening.accept()[0])
    connections[-1].sendall(b"hello")
"""


def greeted(client: socket.socket) -> bool:
    """Return True if the origin's greeting has come."""
    try:
        return client.recv(5, socket.MSG_PEEK) == b"hello"
    except BlockingIOError:
        return False


@on_every_transport
class RealTests(TestCase):
    """Descriptors that really run out, by a limit just above what is in use."""

    async def test_connections_wait_and_are_served_later(self) -> None:
        """More clients than descriptors: the last ones wait without being reset, and are served when others end."""
        # In a process of its own: with descriptors of ours it would drop connections, as Twisted does without any left.
        origin = Program(self, [sys.executable, "-c", ORIGIN])
        await origin.wait_for_output("\n")
        gateway = GatewayUnderTest(self)
        gateway.serve(listener := tcp_listener(Endpoint(LOOPBACK, int(origin.stdout))))
        address = gateway.addresses[listener.key]
        clients = [socket.socket() for _ in range(40)]
        for client in clients:
            self.addCleanup(client.close)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        with open(os.devnull, "rb") as probe:
            free = probe.fileno()
        # Some are kept in reserve; a connection takes two.
        resource.setrlimit(resource.RLIMIT_NOFILE, ((free + 40) * 16 // 15 + 1, before[1]))
        shortage = gateway.network._shortage  # type: ignore[attr-defined]
        shortage.measure()
        for client in clients:
            client.setblocking(False)
            client.connect_ex(address)
        await wait_for(lambda: shortage.exhausted and any(map(greeted, clients)), "the shortage")
        served = [client for client in clients if greeted(client)]
        waiting = [client for client in clients if client not in served]
        self.assertTrue(waiting)
        for client in served:
            client.close()
        await wait_for(lambda: any(map(greeted, waiting)), "the next ones")
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        await wait_for(lambda: all(map(greeted, waiting)), "all of them")
        endings = {record.ending.value for record in gateway.records if record.ending}
        self.assertFalse(endings & {"dial_refused", "local_shortage"}, endings)


@on_every_transport
class EndpointTests(TestCase):
    """A dial that finds no descriptor."""

    async def test_it_is_nobody_else_s_fault(self) -> None:
        """EMFILE is named, the endpoint is not left out for it, and served again as soon as there are descriptors."""
        origin = Origin(self, b"hello")
        policy = UpstreamPolicy(outliers=Outliers(1, 10, 600, 100, 0))
        destination = Destination("origin", 80, endpoints=(origin.endpoint,), policy=policy)
        listener = sni_listener({"a.example.com": destination})
        gateway = GatewayUnderTest(self)
        gateway.serve(listener)
        clients = [await gateway.connect(listener) for _ in range(2)]
        await wait_for(lambda: gateway.plane.count == 2, "the clients")
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        with open(os.devnull, "rb") as probe:
            lowest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
        clients[0].send(build_hello("a.example.com"))
        record = await gateway.record()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        self.assertEqual((record.ending, record.dial_error), (Ending.LOCAL_SHORTAGE, "EMFILE"))
        clients[1].send(build_hello("a.example.com"))
        await clients[1].got(b"hello")
