"""Address families with real workers: names with a silent family, and listeners that change their families."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from twisted.internet.threads import deferToThread

from meshgate.routing.table import ListenerKey
from meshgate.transport.dialing import dial
from tests.dns_server import DnsServer
from tests.installation import ECHO, Installation
from tests.lab_with_workers import END_OF_GREETING, SECONDS, WorkersTestCase
from tests.networks import enter_own_network
from tests.peers import LOOPBACK, Peer, end_all
from tests.support import accepts, free_port, reactor, wait_for
from tests.test_families_of_names import GREETING, LIVING_6, NAME, NETWORK, PORT, SILENT_4, Host

CLIENTS = 60
V4, V6 = "127.0.0.1", "::1"


class FamilyTests(WorkersTestCase):
    """How long clients wait whose endpoints have a silent family, in a network of the test's own."""

    async def waits(self, port: int) -> list[float]:
        """The seconds that clients wait who come one after the other."""
        waits = []
        for _ in range(CLIENTS):
            begun = time.monotonic()
            client: Peer = await dial(reactor, LOOPBACK, port, Peer(), timeout=SECONDS)
            await client.got(GREETING)
            waits.append(time.monotonic() - begun)
            await end_all([client])
        return waits

    async def test_a_family_that_is_silent(self) -> None:
        """Each worker finds it out once, and that costs one client a quarter of a second."""
        enter_own_network(self, *NETWORK)
        names = DnsServer(reactor)
        names.start()
        self.addCleanup(names.stop)
        names.set(NAME, a=SILENT_4, aaaa=LIVING_6)
        hosts = [Host(self, address) for address in LIVING_6]
        lab, port = await self.start(servers="[{}:{}]".format(*names.address)), free_port()
        await self.serve_fleet(lab, port, (NAME, PORT))
        waits = await self.waits(port)
        slow = [wait for wait in waits if wait > 0.2]
        self.assertTrue(1 <= len(slow) <= CLIENTS // 4, waits)
        self.assertTrue(0.25 <= max(slow) < 5, waits)
        peers: list[Peer] = [peer for host in hosts for peer in host.peers]
        self.assertGreaterEqual(len(peers), CLIENTS)


class Visitor(threading.Thread):
    """A client that comes again and again, over IPv4, until it is told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.visits = 0
        self._port = port
        self._over = threading.Event()

    def run(self) -> None:
        """Visit."""
        while not self._over.is_set() and self.visits < 50_000:
            self.visits += 1
            try:
                with socket.create_connection((V4, self._port), timeout=10) as client:
                    client.shutdown(socket.SHUT_WR)
                    received = b"".join(iter(lambda: client.recv(4096), b""))
                    if END_OF_GREETING not in received:
                        self.faults.append(f"{received!r} for a greeting")
            except OSError as error:
                self.faults.append(str(error))

    async def end(self) -> None:
        """Wait for the last visit."""
        self._over.set()
        await deferToThread(self.join, 30)


class BindTests(WorkersTestCase):
    """A real gateway whose routes change from one bind to the other and back."""

    async def test_two_workers(self) -> None:
        """Nobody is turned away over IPv4, and IPv6 is served without a bind alone."""
        await self._follows(await self.start())

    async def test_one_process(self) -> None:
        """The same without workers."""
        await self._follows(await self.start(workers="1"))

    async def _follows(self, lab: Installation) -> None:
        port, file = lab.ports[ECHO], lab.routes / "20-echo-gateway.yaml"
        unset = file.read_text()
        written = unset.replace("    - port:", "    - bind: 0.0.0.0\n      port:")
        self.assertNotEqual(written, unset)
        visitor = Visitor(port)
        visitor.start()
        self.addCleanup(visitor.end)
        for text, bind in ((unset, "::"), (written, "0.0.0.0"), (unset, "::"), (written, "0.0.0.0")):
            new = lab.folder / "new"
            new.write_text(text)
            new.rename(file)
            await self._is_served(lab, port, bind)
        await visitor.end()
        self.assertEqual((visitor.faults, visitor.visits > 10), ([], True))

    async def _is_served(self, lab: Installation, port: int, bind: str) -> None:
        """Wait until the port is served as a bind wants it, and the status and the access log say so."""
        await wait_for(lambda: accepts(V6, port) == (bind == "::"), f"the bind {bind}")
        await self.state(lab, bind, lambda status: [port, bind] in _listeners(status))
        seen, shown = len(lab.log()), str(ListenerKey(bind, port))
        await wait_for(lambda: shown in {line["listener"] for line in lab.log()[seen:]}, f"a line of {shown}")


def _listeners(status: dict[str, Any]) -> list[list[Any]]:
    return [[listener["port"], listener["bind"]] for listener in status["listeners"]]
