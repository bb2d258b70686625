"""Unix sockets as binds: who may connect, what a dead gateway has left, and real workers."""

from __future__ import annotations

import grp
import os
import signal
import socket
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.trial.unittest import TestCase

from meshgate.proxy.endings import Ending
from meshgate.routing.connection_policy import UpstreamPolicy
from meshgate.routing.proxy_headers import HeaderForEndpoint
from meshgate.routing.table import Destination, Endpoint, Listener
from meshgate.transport.unix_binding import UnixAccess
from tests.lab_with_workers import END_OF_GREETING, SECONDS, WorkersTestCase
from tests.peers import GatewayUnderTest, Origin, Peer, end_all, on_every_transport, tcp_listener
from tests.support import reactor, wait_for

ROUTE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: unix-gateway, namespace: default}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 0, name: tcp, protocol: TCP}}, bind: "unix://{path}", hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: unix-route, namespace: default}}
spec:
  hosts: ["*"]
  gateways: [unix-gateway]
  tcp: [{{route: [{{destination: {{host: tcp-echo-service, port: {{number: {target}}}}}}}]}}]
"""


def at(path: object, *destinations: Destination | Endpoint) -> Listener:
    """A listener at a Unix socket."""
    return tcp_listener(*destinations, bind=f"unix://{path}")


@on_every_transport
class UnixListenerTests(TestCase):
    """One process."""

    def setUp(self) -> None:
        """Make a folder with a path that is short enough for a socket."""
        self.path = Path(self.enterContext(TemporaryDirectory())) / "gw.sock"

    async def client(self, path: object) -> Peer:
        """A client of a Unix socket."""
        peer: Peer = await connectProtocol(UNIXClientEndpoint(reactor, str(path)), Peer())
        self.addCleanup(end_all, [peer])
        return peer

    async def test_served(self) -> None:
        """Bytes go both ways, the path has its permissions, and it is gone when the listener is."""
        origin, gateway = Origin(self, b"Welcome\n"), GatewayUnderTest(self)
        policy = UpstreamPolicy(header=HeaderForEndpoint(1))
        gateway.serve(at(self.path, Destination("o", 80, endpoints=(origin.endpoint,), policy=policy)))
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)
        client = await self.client(self.path)
        await client.got(b"Welcome\n")
        client.send(b"x" * 300_000)
        client.finish()
        peer = await origin.peer()
        await peer.got(b"PROXY UNKNOWN\r\n" + b"x" * 300_000)
        peer.finish()
        await client.got_finish()
        record = await gateway.record()
        self.assertEqual((record.client, record.listener), (("unix", 0), f"unix://{self.path}"))
        self.assertEqual((record.ending, record.bytes_in), (Ending.OK, 300_000))
        gateway.serve()
        await wait_for(lambda: not self.path.exists(), "the end of the path")

    async def test_who_may_connect(self) -> None:
        """Permissions and group are those of the settings; without its group a path is not bound, and says why."""
        gateway = GatewayUnderTest(self)
        nobody, path = grp.getgrgid(65534).gr_name, self.path
        for access in (UnixAccess(0o666), UnixAccess(0o600, str(os.getgid())), UnixAccess(0o660, nobody)):
            if access.group == nobody and os.geteuid():
                continue  # only root may give it
            gateway.ports.unix_access = access
            gateway.serve(at(path))
            found = os.stat(path)
            self.assertEqual(stat.S_IMODE(found.st_mode), access.mode)
            self.assertEqual(found.st_gid, 65534 if access.group == nobody else os.getgid())
            path = path.with_name(f"{path.name}-")
        gateway.ports.unix_access = UnixAccess(group="no-such-group")
        (failure,) = gateway.ports.reconcile([at(path)])
        self.assertEqual(failure.reason, "its group no-such-group cannot be set: there is no such group")
        self.assertFalse(path.exists())
        gateway.ports.reconcile(())

    async def test_what_a_dead_gateway_has_left(self) -> None:
        """A path at which nobody listens is bound anew; one of a living process, and a file, are left alone."""
        origin, gateway = Origin(self, b"Welcome\n"), GatewayUnderTest(self)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))
        gateway.serve(at(self.path, origin.endpoint))
        await (await self.client(self.path)).got(b"Welcome\n")
        file, living = self.path.with_name("file"), self.path.with_name("living")
        file.write_text("precious")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(living))
            other.listen()
            wanted = [at(self.path, origin.endpoint), at(file, origin.endpoint), at(living, origin.endpoint)]
            failures = gateway.ports.reconcile(wanted)
        self.assertEqual(
            {failure.key.bind.rpartition("/")[2]: failure.reason for failure in failures},
            {"file": "there is a file of that name", "living": "in use by another process"},
        )
        self.assertEqual(file.read_text(), "precious")
        gateway.ports.reconcile(wanted[:1])

    async def test_an_abstract_name_and_a_loop(self) -> None:
        """An abstract name is served; a route from a Unix socket to itself is no endless loop."""
        gateway = GatewayUnderTest(self)
        name = f"unix://@mg-test-{os.getpid()}-listener"
        gateway.serve(tcp_listener(Endpoint(name, 0), bind=name))
        client = await self.client("\0" + name.removeprefix("unix://@"))
        await client.got_finish()
        self.assertEqual((await gateway.record()).ending, Ending.LOOP)


class WorkerTests(WorkersTestCase):
    """Two real workers on one socket."""

    timeout = 50

    async def test_both_accept(self) -> None:
        """Clients are served by workers, with the permissions of the settings; the socket is gone with the gateway."""
        path = Path(self.enterContext(TemporaryDirectory())) / "gw.sock"
        lab = await self.start()
        lab.settings.write_text(lab.settings.read_text().replace('mode: "0660"', 'mode: "0666"'))
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_output("everything was read again")
        generation = lab.status()["generation"]
        (lab.routes / "40-unix.yaml").write_text(ROUTE.format(path=path, target=lab.ports[2701]))
        await self.state(lab, "the route", lambda status: status["live_generation"] > generation)
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(SECONDS)
                client.connect(str(path))
                received = b""
                while END_OF_GREETING not in received:
                    received += client.recv(4096)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o666)
        line = await lab.logged(listener=f"unix://{path}")
        self.assertEqual(line["client"], "unix:0")
        self.assertEqual(await lab.stop(), 0)
        self.assertFalse(path.exists())
