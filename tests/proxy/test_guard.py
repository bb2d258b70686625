"""Who may connect: access lists, rates and limits, from real addresses on both transports."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.connection_counts import DRY_ENDINGS, WOULD_REFUSE, ConnectionCounts, region_bytes
from meshgate.proxy.endings import Ending
from meshgate.proxy.guard import PAUSE
from meshgate.proxy.limits import Limits
from meshgate.proxy.rates import Rate
from meshgate.routing.access_lists import AccessEntries, AccessList
from meshgate.routing.addresses import network
from meshgate.routing.proxy_headers import ExpectedHeader
from meshgate.routing.table import Endpoint, Listener, RoutingTable
from tests.fakes import FakedGateway
from tests.hello_builder import build_hello
from tests.peers import GatewayUnderTest, Origin, chain, on_every_transport, sni_listener, tcp_listener
from tests.support import wait_for

ENDPOINT = Endpoint("192.0.2.9", 80)


def access(allow: str = "", deny: str = "", *, dry_run: bool = False) -> AccessList:
    """A list of some networks, separated by spaces."""
    found = AccessEntries("", allow.split(), deny.split(), dry_run).access_list()
    assert found is not None
    return found


def observe_log(test: SynchronousTestCase, observe: Any) -> None:
    """Call a function with each event of the log, until the end of a test."""
    globalLogPublisher.addObserver(observe)
    test.addCleanup(globalLogPublisher.removeObserver, observe)


class GuardTest(TestCase):
    """A gateway with an endpoint that greets."""

    def setUp(self) -> None:
        """Make both."""
        self.origin = Origin(self, b"hello")

    def gateway(self, limits: Limits, listener: Listener | None = None, **lists: AccessList) -> GatewayUnderTest:
        """A gateway; the lists are those of Gateways, with ``_`` for the slash in their names."""
        gateway = GatewayUnderTest(self, limits)
        gateway.serve(
            listener or tcp_listener(self.origin.endpoint),
            access={name.replace("_", "/"): each for name, each in lists.items()},
        )
        return gateway

    def connect(self, gateway: GatewayUnderTest, source: str, first: bytes = b"") -> socket.socket:
        """A client from an address."""
        (where,) = gateway.addresses.values()
        client = socket.create_connection(where, timeout=10, source_address=(source, 0))
        self.addCleanup(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its close is a reset
        client.sendall(first)
        client.setblocking(False)
        return client

    async def outcome(self, gateway: GatewayUnderTest, source: str, first: bytes = b"") -> Ending | bytes:
        """Connect once: the ending of the connection if it is refused, else what the endpoint says."""
        client, number = self.connect(gateway, source, first), len(gateway.records)
        got = bytearray()

        def is_over() -> bool:
            try:
                got.extend(client.recv(100))
            except OSError:
                pass
            return bool(got) or len(gateway.records) > number

        await wait_for(is_over, "a greeting or a refusal")
        if got:
            client.close()
            await wait_for(lambda: gateway.plane.count == 0, "the end of the connection")
            return bytes(got)
        ending = gateway.records[number].ending
        assert ending is not None
        return ending


@on_every_transport
class AccessTests(GuardTest):
    """Access lists of the settings and of Gateways."""

    async def test_lists_of_the_settings(self) -> None:
        """Allowed and denied addresses of 127.0.0.0/8; a refused client reaches no endpoint."""
        gateway = self.gateway(Limits(access=access("127.0.0.0/16 127.1.0.1", "127.0.0.9 127.0.8.0/24")))
        for source, wanted in (
            ("127.0.0.1", b"hello"),
            ("127.0.0.9", Ending.DENIED),
            ("127.0.7.255", b"hello"),
            ("127.0.8.7", Ending.DENIED),
            ("127.1.0.1", b"hello"),
            ("127.1.0.2", Ending.DENIED),
        ):
            self.assertEqual(await self.outcome(gateway, source), wanted, source)
        self.assertEqual(len(self.origin.peers), 3)

    async def test_ipv6(self) -> None:
        """::1, on a listener of IPv6."""
        listener = tcp_listener(self.origin.endpoint, bind="::1")
        for limits, wanted in (
            (Limits(access=access("::1")), b"hello"),
            (Limits(access=access("127.0.0.0/8")), Ending.DENIED),
            (Limits(access=access(deny="::/64")), Ending.DENIED),
            (Limits(access=access(deny="127.0.0.0/8")), b"hello"),
        ):
            self.assertEqual(await self.outcome(self.gateway(limits, listener), "::1"), wanted)

    async def test_an_ipv4_client_of_a_socket_for_both_families(self) -> None:
        """It is judged by its IPv4 address."""
        listener = replace(tcp_listener(self.origin.endpoint, bind="0.0.0.0"), dual_stack=True)
        gateway = self.gateway(Limits(access=access("127.0.0.0/16")), listener)
        (key,) = gateway.addresses
        gateway.addresses[key] = ("127.0.0.1", gateway.addresses[key][1])
        self.assertEqual(await self.outcome(gateway, "127.0.0.3"), b"hello")
        self.assertEqual(await self.outcome(gateway, "127.7.0.3"), Ending.DENIED)

    async def test_the_list_of_the_only_gateway(self) -> None:
        """It counts before a byte has come, and besides that of the settings."""
        hello = build_hello("a.example.com")
        listener = sni_listener({"a.example.com": self.origin.endpoint})
        gateway = self.gateway(
            Limits(access=access(deny="127.0.0.4")),
            listener,
            **{"istio-system_gw": access(deny="127.0.0.5"), "other_gw": access("192.0.2.1")},
        )
        self.assertEqual(await self.outcome(gateway, "127.0.0.3", hello), b"hello")
        self.assertEqual(await self.outcome(gateway, "127.0.0.4"), Ending.DENIED)
        self.assertEqual(await self.outcome(gateway, "127.0.0.5"), Ending.DENIED)

    async def test_lists_of_several_gateways_of_a_listener(self) -> None:
        """The Gateway of the route decides, once the server name is there."""
        mine, others = (
            replace(chain(self.origin.endpoint, names=(name,)), gateway=gateway)
            for name, gateway in (("a.example.com", "one/gw"), ("b.example.com", "two/gw"))
        )
        listener = sni_listener({"a.example.com": mine, "b.example.com": others})
        gateway = self.gateway(Limits(), listener, one_gw=access("127.0.0.3"))
        for source, name, wanted in (
            ("127.0.0.3", "a.example.com", b"hello"),
            ("127.0.0.4", "a.example.com", Ending.DENIED),
            ("127.0.0.4", "b.example.com", b"hello"),
        ):
            self.assertEqual(await self.outcome(gateway, source, build_hello(name)), wanted)
        denied = [record for record in gateway.records if record.ending is Ending.DENIED]
        self.assertEqual([(each.gateway, each.sni) for each in denied], [("one/gw", "a.example.com")])

    async def test_new_lists_end_those_that_they_refuse(self) -> None:
        """A reload, and a change of a Gateway, reset the live connections of denied clients, and no others."""
        listener = tcp_listener(self.origin.endpoint)
        gateway = self.gateway(Limits(), listener)
        sources = ("127.0.0.3", "127.0.0.4", "127.0.0.5")
        clients = {source: self.connect(gateway, source) for source in sources}
        await wait_for(lambda: gateway.plane.joined == 3, "three connections")
        gateway.plane.limits = Limits(access=access(deny="127.0.0.4", dry_run=True))
        gateway.plane.limits = Limits(access=access(deny="127.0.0.4"))
        record = await gateway.record()
        self.assertEqual((record.ending, record.client[0]), (Ending.DENIED, "127.0.0.4"))
        gateway.serve(listener, access={"istio-system/gw": access("127.0.0.3")})
        record = await gateway.record(1)
        self.assertEqual((record.ending, record.client[0]), (Ending.DENIED, "127.0.0.5"))
        await wait_for(lambda: gateway.plane.count == 1, "the end of the others")
        clients["127.0.0.3"].send(b"still there")
        peers = [await self.origin.peer(number) for number in range(3)]
        await wait_for(lambda: any(peer.received == b"still there" for peer in peers), "its bytes")

    async def test_behind_a_load_balancer(self) -> None:
        """The client that the PROXY header names is judged, and not the address that the connection comes from."""
        trusted = network("127.0.0.0/16")
        assert trusted is not None
        listener = replace(tcp_listener(self.origin.endpoint), header=ExpectedHeader(True, (trusted,)))
        gateway = self.gateway(Limits(access=access(deny="127.0.0.4 192.0.2.0/24")), listener)
        for client, wanted in (("192.0.2.7", Ending.DENIED), ("198.51.100.7", b"hello")):
            header = f"PROXY TCP4 {client} 192.0.2.99 5555 80\r\n".encode()
            self.assertEqual(await self.outcome(gateway, "127.0.0.4", header), wanted)
        self.assertEqual([record.client[0] for record in gateway.records], ["192.0.2.7", "198.51.100.7"])

    async def test_a_dry_run_refuses_nobody(self) -> None:
        """The connection is served, counted and logged, the second one within a minute without a line."""
        memory = bytearray(region_bytes())
        lines: list[str] = []
        observe_log(self, lambda event: lines.append(str(event.get("log_format"))))
        gateway = GatewayUnderTest(
            self, Limits(access=access(deny="127.0.0.4", dry_run=True)), ConnectionCounts(memory)
        )
        gateway.serve(tcp_listener(self.origin.endpoint))
        for _ in range(2):
            self.assertEqual(await self.outcome(gateway, "127.0.0.4"), b"hello")
        words = memoryview(memory).cast("q")[WOULD_REFUSE : WOULD_REFUSE + len(DRY_ENDINGS)].tolist()
        self.assertEqual(words, [2, 0, 0])
        self.assertEqual(len([line for line in lines if line.startswith("dry run")]), 1)


@on_every_transport
class RateTests(GuardTest):
    """Rates of new connections."""

    async def test_the_third_passes_and_the_fourth_is_refused(self) -> None:
        """Three an hour from one client; another one has its own three."""
        gateway = self.gateway(Limits(client_rate=Rate(3 / 3600, 3)))
        for source in ("127.0.0.3", "127.0.0.4"):
            outcomes = [await self.outcome(gateway, source) for _ in range(4)]
            self.assertEqual(outcomes, [b"hello"] * 3 + [Ending.OVER_RATE])

    async def test_a_listener(self) -> None:
        """Whoever comes, it takes no more than its rate; a refused client has not used up its own bucket."""
        limits = Limits(listener_rate=Rate(2 / 3600, 2), client_rate=Rate(2 / 3600, 2))
        gateway = self.gateway(limits)
        sources = ("127.0.0.3", "127.0.0.4", "127.0.0.5")
        outcomes = [await self.outcome(gateway, source) for source in sources]
        self.assertEqual(outcomes, [b"hello"] * 2 + [Ending.OVER_RATE])
        gateway.plane.limits = replace(limits, listener_rate=None)
        self.assertEqual([await self.outcome(gateway, "127.0.0.5") for _ in range(2)], [b"hello"] * 2)

    async def test_numbers_and_rates_in_a_dry_run(self) -> None:
        """Whoever would be over a limit is served, and a slot that is given back is free again afterwards."""
        limits = Limits(connections_per_client=1, client_rate=Rate(1 / 3600, 1), dry_run=True)
        gateway = self.gateway(limits)
        held = self.connect(gateway, "127.0.0.3")
        await wait_for(lambda: gateway.plane.joined == 1, "a connection")
        second = self.connect(gateway, "127.0.0.3")
        await wait_for(lambda: gateway.plane.joined == 2, "a second one")
        for client in (held, second):
            client.close()
        await wait_for(lambda: gateway.plane.count == 0, "the end of both")
        gateway.plane.limits = replace(limits, client_rate=None, dry_run=False)
        self.assertEqual(await self.outcome(gateway, "127.0.0.3"), b"hello")


class DryRunLogTests(SynchronousTestCase):
    """The lines of a dry run."""

    def test_a_line_a_minute(self) -> None:
        """It tells how many there were since the last one, for each listener and ending."""
        listener = tcp_listener(ENDPOINT)
        gateway = FakedGateway(listener, Limits(access=access(deny="198.51.100.0/24", dry_run=True)))
        lines: list[str] = []
        observe_log(self, lambda event: lines.append(str(event.get("number"))))
        for _ in range(3):
            gateway.accept(listener, "198.51.100.9")
        gateway.reactor.advance(PAUSE)
        gateway.accept(listener, "198.51.100.9")
        self.assertEqual(lines, ["4 connections of this kind since then"])

    def test_who_is_unguarded_costs_nothing(self) -> None:
        """A listener without lists and limits asks nobody; a list of another Gateway changes nothing about that."""
        listener = tcp_listener(ENDPOINT)
        gateway = FakedGateway(listener, Limits())
        gateway.plane.table = RoutingTable(2, {listener.key: listener}, {"other/gw": access("192.0.2.1")})
        self.patch(gateway.plane, "_guard", None)
        self.assertIsNotNone(gateway.accept(listener, "198.51.100.9"))
