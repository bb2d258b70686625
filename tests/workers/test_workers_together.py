"""What several real workers have in common: limits, and ports whose queues outlive whoever accepts from them."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from meshgate.proxy.pacing import BURST
from meshgate.transport.dialing import dial
from tests.installation import ECHO
from tests.lab_with_workers import END_OF_GREETING, PORT, SECONDS, Client, WorkersTestCase
from tests.peers import Origin, Peer, end_all
from tests.support import free_port, reactor, wait_for

FLEET_RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: fleet
  namespace: default
  annotations: {meshgate.io/bandwidth: 2MiB/s}
spec: {host: fleet.example.com}
"""


def listening_on(port: int) -> set[str]:
    """The inodes of all sockets that listen on a port, on whatever address."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}


class LimitTests(WorkersTestCase):
    """Limits count over all workers."""

    def admitted(self, port: int) -> bool:
        """Whether one more client is let in; it stays until the end of the test."""
        client = Client(self, port)
        return client.socket.recv(1) != b""

    async def test_connections_of_all_workers_count(self) -> None:
        """Wherever the kernel sends them, one over the limit is turned away; what a dead worker had is free again."""
        lab = await self.start(connections="6")
        port = lab.ports[ECHO]
        self.assertEqual([self.admitted(port) for _ in range(16)], [True] * 6 + [False] * 10)
        status = await self.state(
            lab, "the figures", lambda status: status["connections"] == 6 and status["ended"] == {"over_limit": 10}
        )
        busiest = max(status["workers"], key=lambda worker: worker["connections"])
        os.kill(busiest["pid"], signal.SIGKILL)
        await self.pid(lab, busiest["worker"], but=[busiest["pid"]])
        room = busiest["connections"]
        self.assertEqual([self.admitted(port) for _ in range(room + 5)], [True] * room + [False] * 5)

    async def test_rates_and_access_lists_of_all_workers(self) -> None:
        """
        Three connections an hour from one address, whichever worker gets them. A reload with other lists resets those
        who are denied now, and nobody else; a Gateway's list holds as soon as its file is there.
        """
        lab = await self.start(client_rate="3/h", deny="[127.0.0.9]")
        port = lab.ports[ECHO]
        held = {source: self.from_address(port, source) for source in ("127.0.0.3", "127.0.0.4", "127.0.0.5")}
        self.assertEqual([self.was_greeted(client) for client in held.values()], [True] * 3)
        for source, wanted in (("127.0.0.3", [True, True, False, False]), ("127.0.0.9", [False])):
            admitted = [self.was_greeted(self.from_address(port, source)) for _ in wanted]
            self.assertEqual(admitted, wanted, source)
        await self.state(lab, "the endings", lambda status: status["ended"] == {"over_rate": 2, "denied": 1})
        lab.edit_settings(client_rate="0", deny="[127.0.0.4]")
        lab.process.signal(signal.SIGHUP)
        await lab.logged(ending="denied", client="{}:{}".format(*held["127.0.0.4"].getsockname()))
        self.assertTrue(self.was_greeted(self.from_address(port, "127.0.0.9")))
        gateway = lab.routes / "20-echo-gateway.yaml"
        annotation = "metadata:\n  annotations: {meshgate.io/deny: 127.0.0.5/32}\n"
        gateway.write_text(gateway.read_text().replace("metadata:\n", annotation, 1))
        await lab.logged(ending="denied", client="{}:{}".format(*held["127.0.0.5"].getsockname()))
        held["127.0.0.3"].sendall(b"still there\n")
        self.assertIn(b"still there", held["127.0.0.3"].recv(100))

    async def test_workers_share_the_bandwidth_of_a_destination(self) -> None:
        """Sixteen connections, spread over both workers, get no more than it together, to a tenth."""
        rate, each, number = 2 << 20, 1 << 18, 16
        origin = Origin(self, bytes(each))
        lab = await self.start()
        port = free_port()
        await self.serve_fleet(lab, port, ("127.0.0.1", origin.endpoint.port))
        (lab.routes / "39-fleet-rule.yaml").write_text(FLEET_RULE)
        await self.state(lab, "the rule", lambda status: status["live_generation"] == 3)
        begin = time.monotonic()
        clients = [await dial(reactor, "127.0.0.1", port, Peer(), timeout=10) for _ in range(number)]
        self.addCleanup(end_all, clients)
        status = await self.state(lab, "the connections", lambda status: status["connections"] == number)
        self.assertTrue(all(worker["connections"] for worker in status["workers"]))
        await wait_for(lambda: all(len(client.received) == each for client in clients), "all bytes")
        taken = time.monotonic() - begin
        self.assertLessEqual(abs(taken - (number * each / rate - BURST)), 0.2)

    def from_address(self, port: int, source: str) -> socket.socket:
        """A client from an address."""
        client = socket.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0))
        self.addCleanup(client.close)
        return client

    def was_greeted(self, client: socket.socket) -> bool:
        """Whether the greeting comes before the end."""
        greeting = b""
        while not greeting.endswith(END_OF_GREETING):
            try:
                piece = client.recv(4096)
            except ConnectionResetError:
                return False
            if not piece:
                return False
            greeting += piece
        return True


class PortTests(WorkersTestCase):
    """The parent owns the ports."""

    async def test_a_port_that_is_kept_loses_nothing_that_waits(self) -> None:
        """What waits to be accepted while its Gateway changes is served after the change, by the same sockets."""
        lab = await self.start()
        sockets = listening_on(lab.ports[ECHO])
        self.assertEqual(len(sockets), 2)
        pids = [await self.pid(lab, 1), await self.pid(lab, 2)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        clients = self.clients(lab.ports[ECHO], 40)
        gateway = lab.routes / "20-echo-gateway.yaml"
        gateway.write_text(gateway.read_text().replace("name: tcp-echo", "name: tcp-other"))
        await self.state(lab, "the change", lambda status: status["generation"] == 2)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for client in clients:
            client.read_until(END_OF_GREETING)
        await self.state(lab, "the change in both", lambda status: status["live_generation"] == 2)
        self.assertEqual(listening_on(lab.ports[ECHO]), sockets)

    async def test_a_port_of_another_process_is_not_shared(self) -> None:
        """Though its owner would share it, none of the workers takes connections from there; that is a problem."""
        lab = await self.start()
        port = free_port()
        with socket.socket() as foreign:
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # the first for its connections that are ending
                foreign.setsockopt(socket.SOL_SOCKET, option, 1)
            foreign.bind(("127.0.0.1", port))
            foreign.listen(64)
            foreign.settimeout(SECONDS)
            (lab.routes / "40-further.yaml").write_text(PORT.format(port=port, target=lab.ports[2701]))
            status = await self.state(lab, "the problem", lambda status: bool(status["problems"]))
            self.assertIn("in use by another process", status["problems"][0]["message"])
            for _ in self.clients(port, 20):
                foreign.accept()[0].close()
        await lab.process.wait_for_port(port)
        self.clients(port, 1)[0].read_until(END_OF_GREETING)
