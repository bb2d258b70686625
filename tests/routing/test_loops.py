"""Routes that lead back to the gateway: they end as loop, are told of, and cost the other routes nothing."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from meshgate.proxy.dial_log import PAUSE, DialLog
from meshgate.proxy.endings import Ending
from meshgate.routing.table import Destination, Endpoint, Listener
from meshgate.transport.dialing import dial_error, loop_error
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, on_every_transport, tcp_listener
from tests.proxy.test_log_line import complete
from tests.support import free_port


def noted(test: TestCase, namespace: str) -> list[str]:
    """The lines that are logged from now on by one module."""
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith(namespace):
            lines.append(formatEvent(event))

    observer: Any = note
    globalLogPublisher.addObserver(observer)
    test.addCleanup(globalLogPublisher.removeObserver, observer)
    return lines


@on_every_transport
class LoopTests(TestCase):
    """Endpoints that are our own listeners."""

    def setUp(self) -> None:
        """A gateway, and what it logs about dials."""
        self.gateway = GatewayUnderTest(self)
        self.lines = noted(self, "meshgate.proxy.dial_log")

    async def ends(self, listener: Listener, ending: Ending) -> None:
        """Connect a client, and see how it ends."""
        number = len(self.gateway.records)
        client = await self.gateway.connect(listener)
        await client.got_finish()
        self.assertEqual((await self.gateway.record(number)).ending, ending)
        self.assertEqual(len(self.gateway.records), number + 1)

    async def test_a_listener_that_is_its_own_endpoint(self) -> None:
        """Its connections end before a second one is made, with one line that names route and endpoint."""
        port = free_port()
        for bind, address in [
            (LOOPBACK, LOOPBACK),
            ("0.0.0.0", "127.0.0.9"),
            ("0.0.0.0", "::ffff:127.0.0.1"),
            ("::1", "::1"),
        ]:
            self.lines.clear()
            listener = tcp_listener(Endpoint(address, port), bind=bind, port=port)
            self.gateway.serve(listener)
            for _ in range(3):
                await self.ends(listener, Ending.LOOP)
            self.assertEqual(self.gateway.records[-1].dial_error, "loop")
            endpoint = str(Endpoint(address, port))
            self.assertEqual([("default/vs" in line, endpoint in line) for line in self.lines], [(True, True)])

    async def test_a_chain_of_two_listeners(self) -> None:
        """From one of our own listeners to another is a loop as well."""
        origin = Origin(self, b"hello")
        second = tcp_listener(origin.endpoint, bind="127.0.0.2", port=free_port())
        first = tcp_listener(Endpoint("127.0.0.2", second.key.port))
        self.gateway.serve(first, second)
        await self.ends(first, Ending.LOOP)
        await (await self.gateway.connect(second)).got(b"hello")

    async def test_by_a_name(self) -> None:
        """An address that the DNS gives is held against our sockets as any other."""
        port = free_port()
        self.gateway.resolver.answers["loop.example.com"] = (LOOPBACK,)
        listener = tcp_listener(Endpoint("loop.example.com", port, dns=True), port=port)
        self.gateway.serve(listener)
        await self.ends(listener, Ending.LOOP)

    async def test_another_endpoint_is_tried(self) -> None:
        """Among several endpoints, the one that is us is passed over, and nobody is served worse."""
        origin = Origin(self, b"hello")
        port = free_port()
        listener = tcp_listener(
            Destination("origin", 80, endpoints=(Endpoint(LOOPBACK, port), origin.endpoint)), port=port
        )
        self.gateway.serve(listener)
        for _ in range(6):
            await (await self.gateway.connect(listener)).got(b"hello")
        self.assertEqual(self.gateway.plane.count, 6)

    async def test_a_neighbour_on_the_same_port_number(self) -> None:
        """Another address with our port number is somebody else's."""
        origin = Origin(self, b"hello")
        listener = tcp_listener(origin.endpoint, bind="127.0.0.2", port=origin.endpoint.port)
        self.gateway.serve(listener)
        await (await self.gateway.connect(listener)).got(b"hello")

    async def test_a_port_that_is_not_ours_any_more(self) -> None:
        """When a listener is gone, whoever listens there is dialed."""
        port = free_port()
        looping = tcp_listener(Endpoint("127.0.0.2", port), bind="127.0.0.2", port=port)
        other = tcp_listener(Endpoint("127.0.0.2", port))
        self.gateway.serve(looping, other)
        await self.ends(other, Ending.LOOP)
        self.gateway.serve(other)
        await self.ends(other, Ending.DIAL_REFUSED)


class LogTests(TestCase):
    """The log of loops, and its limit."""

    def setUp(self) -> None:
        """A log on a clock of the test."""
        self.now = 100.0
        self.log = DialLog(lambda: self.now)
        self.lines = noted(self, "meshgate.proxy.dial_log")

    def test_each_route_and_endpoint_once_a_minute(self) -> None:
        """A thousand connections leave one line; another route, another endpoint and another minute get theirs."""
        record = complete()
        for _ in range(1000):
            self.log.note(loop_error(LOOPBACK, 80), record, "127.0.0.1:80")
        self.assertEqual(len(self.lines), 1)
        self.log.note(loop_error(LOOPBACK, 81), record, "127.0.0.1:81")
        self.log.note(loop_error(LOOPBACK, 80), complete(virtual_service="default/b"), "127.0.0.1:80")
        self.now += PAUSE
        self.log.note(loop_error(LOOPBACK, 80), record, "127.0.0.1:80")
        self.assertEqual(len(self.lines), 4)

    def test_each_shortage_once_a_minute(self) -> None:
        """By the name of the error, with what to do."""
        for number, remedy in [
            (24, "LimitNOFILE"),
            (23, "fs.file-max"),
            (99, "upstream_source"),
            (105, "tcp_mem"),
            (12, "tcp_mem"),
        ]:
            self.lines.clear()
            for port in (80, 81):
                error = dial_error(LOOPBACK, port, OSError(number, "as the kernel says"))
                self.log.note(error, complete(), f"127.0.0.1:{port}")
            self.assertEqual([(error.name in line, remedy in line) for line in self.lines], [(True, True)])
