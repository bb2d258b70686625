"""Names with a silent family, as two real workers see them, in a network of the test's own."""

from __future__ import annotations

import time

from meshgate.transport.dialing import dial
from tests.dns_server import DnsServer
from tests.lab_with_workers import SECONDS, WorkersTestCase
from tests.networks import enter_own_network
from tests.peers import LOOPBACK, Peer, end_all
from tests.support import free_port, reactor
from tests.test_dead_endpoints_workers import ROUTE
from tests.test_families_of_names import GREETING, LIVING_6, NAME, NETWORK, PORT, SILENT_4, Host

CLIENTS = 60


class FamilyTests(WorkersTestCase):
    """How long clients wait."""

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
        endpoints = f"  - {{address: {NAME}, ports: {{tcp: {PORT}}}}}"
        route = ROUTE.format(port=port, endpoints=endpoints).replace("resolution: STATIC", "resolution: DNS")
        (lab.routes / "40-fleet.yaml").write_text(route)
        await self.state(lab, "the route", lambda status: status["live_generation"] == 2)
        await lab.process.wait_for_port(port)
        waits = await self.waits(port)
        slow = [wait for wait in waits if wait > 0.2]
        self.assertTrue(1 <= len(slow) <= CLIENTS // 4, waits)
        self.assertTrue(0.25 <= max(slow) < 5, waits)
        peers: list[Peer] = [peer for host in hosts for peer in host.peers]
        self.assertGreaterEqual(len(peers), CLIENTS)
