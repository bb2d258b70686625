"""Unix sockets as endpoints: dialed by their path, or by an abstract name, and what comes of it when nobody listens."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.routing.connection_policy import Keepalive, UpstreamPolicy
from meshgate.routing.proxy_headers import HeaderForEndpoint
from meshgate.routing.table import Destination, Endpoint
from meshgate.wire.proxy_protocol import build_v1
from tests.peers import GatewayUnderTest, Peer, end_all, on_every_transport, tcp_listener
from tests.support import reactor, wait_for


class UnixOrigin(Factory):
    """A listening Unix socket."""

    noisy = False

    def __init__(self, test: TestCase, name: str, greeting: bytes = b"") -> None:
        self.peers: list[Peer] = []
        self._greeting = greeting
        self._port: Any = reactor.listenUNIX(name, self)
        test.addCleanup(self._end)

    def buildProtocol(self, addr: object) -> Peer:
        """One more connection."""
        self.peers.append(Peer(self._greeting))
        return self.peers[-1]

    async def peer(self, number: int = 0) -> Peer:
        """Wait for a connection."""
        await wait_for(lambda: len(self.peers) > number, "a connection of a Unix socket")
        return self.peers[number]

    async def _end(self) -> None:
        await self._port.stopListening()
        await end_all(self.peers)


def at(address: str, **policy: Any) -> Destination:
    """A destination at a Unix socket."""
    return Destination("u", 80, endpoints=(Endpoint(address, 0),), policy=UpstreamPolicy(**policy))


@on_every_transport
class UnixEndpointTests(TestCase):
    """A gateway in front of Unix sockets."""

    async def test_bytes_both_ways(self) -> None:
        """Bytes go both ways in any amount, both ends of stream come, and the log names the socket."""
        path = Path(self.enterContext(TemporaryDirectory())) / "u.sock"  # the path of a test's own folder is too long
        abstract = f"mg-test-{os.getpid()}-unix"
        for name, address in ((str(path), f"unix://{path}"), (f"\0{abstract}", f"unix://@{abstract}")):
            origin = UnixOrigin(self, name, b"Welcome\n")
            gateway = GatewayUnderTest(self)
            gateway.serve(listener := tcp_listener(at(address)))
            client = await gateway.connect(listener)
            await client.got(b"Welcome\n")
            peer = await origin.peer()
            up, down = bytes(range(256)) * 4000, bytes(range(255, -1, -1)) * 4000
            client.send(up)
            client.finish()
            await peer.got_finish()
            self.assertEqual(peer.received, up)
            peer.send(down)
            peer.finish()
            await client.got(b"Welcome\n" + down)
            record = await gateway.record()
            self.assertEqual((record.endpoint, record.ending), (address, Ending.OK))
            self.assertEqual((record.bytes_in, record.bytes_out), (len(up), len(down) + 8))

    async def test_nobody_listens(self) -> None:
        """A socket that is not there, or at which nobody listens, refuses; the next endpoint is dialed."""
        folder = Path(self.enterContext(TemporaryDirectory()))
        stale = f"{folder}/stale.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(stale)
        name = f"mg-test-{os.getpid()}-{self.id()[-60:]}"
        origin = UnixOrigin(self, f"\0{name}", b"hi")
        for address, error in (
            (f"unix://{folder}/none.sock", "ENOENT"),
            (f"unix://{stale}", "ECONNREFUSED"),
            ("unix:///" + "x" * 120, "EINVAL"),
        ):
            gateway = GatewayUnderTest(self)
            gateway.serve(listener := tcp_listener(at(address)))
            client = await gateway.connect(listener)
            await client.got_finish()
            record = await gateway.record()
            self.assertEqual((record.ending, record.dial_error), (Ending.DIAL_REFUSED, error))
            both = replace(at(address), endpoints=(Endpoint(address, 0), Endpoint(f"unix://@{name}", 0)))
            gateway = GatewayUnderTest(self)
            gateway.serve(listener := tcp_listener(both))
            client = await gateway.connect(listener)
            await client.got(b"hi")
        await origin.peer()

    async def test_a_header_and_probes(self) -> None:
        """A PROXY header goes over it as over TCP; probes, which it does not have, are passed over."""
        name = f"mg-test-{os.getpid()}-header"
        origin = UnixOrigin(self, f"\0{name}")
        keepalive = Keepalive(0, 1, 0)
        gateway = GatewayUnderTest(self, Limits(client_keepalive=keepalive, upstream_keepalive=keepalive))
        listener = tcp_listener(at(f"unix://@{name}", header=HeaderForEndpoint(1), keepalive=keepalive))
        gateway.serve(listener)
        client = await gateway.connect(listener)
        here, there = client.transport.getHost(), gateway.addresses[listener.key]
        header = build_v1((here.host, here.port), there)
        client.send(b"one")
        peer = await origin.peer()
        await peer.got(header + b"one")
        client.send(b"two")
        await peer.got(header + b"onetwo")
        (connection,) = gateway.plane.connections
        assert connection.relay is not None
        connection.relay._check()
        peer.finish()
        client.finish()
        self.assertEqual((await gateway.record()).ending, Ending.OK)
