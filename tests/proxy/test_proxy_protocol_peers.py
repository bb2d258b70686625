"""PROXY headers between other programs and the gateway, in front of it and behind it: HAProxy and nginx."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import TestCase

from meshgate.routing.addresses import network
from meshgate.routing.connection_policy import UpstreamPolicy
from meshgate.routing.proxy_headers import ExpectedHeader, HeaderForEndpoint
from meshgate.routing.table import Destination, Endpoint
from meshgate.transport.dialing import dial
from meshgate.wire.proxy_protocol import ProxyHeader, TlvType, parse_header
from tests.hello_builder import build_hello
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, Peer, end_all, on_every_transport, sni_listener
from tests.support import free_port, new_folder, reactor, require_program, wait_for

HAPROXY = """\
global
    nbthread 1
defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m
listen v1
    bind 127.0.0.1:{front_v1}
    server gateway 127.0.0.1:{gateway} send-proxy
listen v2
    bind 127.0.0.1:{front_v2}
    unique-id-format from-%cp
    server gateway 127.0.0.1:{gateway} send-proxy-v2 proxy-v2-options crc32c,unique-id
listen behind
    bind 127.0.0.1:{behind} accept-proxy
    unique-id-format %[fc_pp_unique_id]
    server origin 127.0.0.1:{origin} send-proxy-v2 proxy-v2-options unique-id,authority
"""

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 900; }}
stream {{
    server {{
        listen 127.0.0.1:{front_nginx};
        proxy_protocol on;
        proxy_pass 127.0.0.1:{gateway};
    }}
    server {{
        listen 127.0.0.1:{behind_nginx} proxy_protocol;
        set_real_ip_from 127.0.0.0/8;
        proxy_protocol on;
        proxy_pass 127.0.0.1:{origin};
    }}
}}
"""

EVERY = HeaderForEndpoint(2, authority=True, alpn=True, unique_id=True)


def run(test: TestCase, program: str, folder: Path, *arguments: str) -> None:
    """Run a program until the end of the test."""
    with (folder / f"{program}.out").open("wb") as output:
        process = subprocess.Popen([program, *arguments], stdout=output, stderr=output)
    test.addCleanup(process.wait)
    test.addCleanup(process.terminate)


def listens(port: int) -> bool:
    """Return True if a socket listens on a port of loopback."""
    return f"0100007F:{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


@on_every_transport
class PeerTests(TestCase):
    """A gateway with each load balancer in front of it, and each program behind it."""

    timeout = 60

    async def test_every_way(self) -> None:
        """The client's address goes all the way, whoever tells it to whom, and so does an identity."""
        require_program("haproxy")
        require_program("nginx")
        origin, gateway = Origin(self), GatewayUnderTest(self)
        names = ("front_v1", "front_v2", "front_nginx", "behind", "behind_nginx")
        ports = {name: free_port() for name in names}

        def to(port: int, header: HeaderForEndpoint | None = None) -> Destination:
            return Destination(
                "o", 443, str(port), endpoints=(Endpoint(LOOPBACK, port),), policy=UpstreamPolicy(header=header)
            )

        ways = {
            "direct.example.com": to(origin.endpoint.port, EVERY),
            "haproxy.example.com": to(ports["behind"], EVERY),
            "nginx-v1.example.com": to(ports["behind_nginx"], HeaderForEndpoint(1)),
            "nginx-v2.example.com": to(ports["behind_nginx"], HeaderForEndpoint(2)),
        }
        trusted = network("127.0.0.0/8")
        assert trusted is not None
        listener = replace(sni_listener(ways), header=ExpectedHeader(True, (trusted,)))
        gateway.serve(listener)
        self.start_peers({**ports, "gateway": gateway.addresses[listener.key][1], "origin": origin.endpoint.port})
        await wait_for(lambda: all(map(listens, ports.values())), "the peers")
        number = 0
        for front in ("front_v1", "front_v2", "front_nginx"):
            for name in ways:
                client: Peer = await dial(reactor, LOOPBACK, ports[front], Peer(), timeout=10)
                try:
                    header = await self.through(client, await self.sent(client, origin, number, name))
                    own = client.transport.getHost()
                    self.assertEqual(header.source, (own.host, own.port), (front, name))
                    record = await gateway.record(number)
                    self.assertEqual((record.client, record.sni), ((own.host, own.port), name), front)
                    self.check_fields(header, front, name, f"from-{own.port}", record.id)
                finally:
                    await end_all([client])
                number += 1

    def check_fields(self, header: ProxyHeader, front: str, name: str, told: str, number: int) -> None:
        """The identity of HAProxy is passed on, and otherwise there is ours; both programs keep it where they can."""
        if name.startswith("nginx"):
            return
        identity = (header.field(TlvType.UNIQUE_ID) or b"").decode()
        if front == "front_v2":
            self.assertEqual(identity, told)
        else:
            self.assertTrue(identity.startswith(f"{number}-"), identity)
        self.assertEqual(header.field(TlvType.AUTHORITY), name.encode())

    def start_peers(self, values: dict[str, int]) -> None:
        """Run HAProxy and nginx."""
        folder = new_folder(self)
        (folder / "haproxy.cfg").write_text(HAPROXY.format(**values))
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, **values))
        run(self, "haproxy", folder, "-db", "-f", str(folder / "haproxy.cfg"))
        run(self, "nginx", folder, "-c", str(folder / "nginx.conf"), "-p", str(folder))

    async def sent(self, client: Peer, origin: Origin, number: int, name: str) -> Peer:
        """Send a hello, and give the connection of the endpoint."""
        client.send(build_hello(name))
        return await origin.peer(number)

    async def through(self, client: Peer, peer: Peer) -> ProxyHeader:
        """Carry bytes both ways, close, and give the header that has come first."""
        await wait_for(lambda: parse_header(bytes(peer.received)), "a header")
        header = parse_header(bytes(peer.received))
        assert header is not None
        await wait_for(lambda: len(peer.received) > header.length, "the hello")
        self.assertEqual(peer.received[header.length], 0x16)
        peer.send(b"answer")
        await client.got(b"answer")
        client.finish()
        peer.finish()
        return header
