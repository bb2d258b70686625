"""Routes that lead back to the gateway, as real workers see them: the other routes must not notice."""

from __future__ import annotations

import os
import resource
import signal
import sys

from tests.installation import ECHO, Installation
from tests.lab_with_workers import END_OF_GREETING, Client, WorkersTestCase
from tests.support import Program, free_port, wait_for

DESCRIPTORS = 256

FORWARDER = """
import asyncio, sys
here, there = map(int, sys.argv[1:])

async def copy(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()

async def serve(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", there)
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", here, backlog=1000)
    print("forwarding", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
"""Another machine's address translation, as far as the gateway can tell: what it dials comes back."""


class LoopTests(WorkersTestCase):
    """Two workers with few descriptors."""

    async def lab(self, **settings: str) -> Installation:
        """Run it, and have the workers replaced by such as have few descriptors: they get them from their parent."""
        lab = await self.start(**settings)
        resource.prlimit(lab.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        for worker in (1, 2):
            pid = await self.pid(lab, worker)
            os.kill(pid, signal.SIGKILL)
            await self.pid(lab, worker, but=[pid])
        await lab.process.wait_for_port(lab.ports[ECHO])
        await self.lines(lab, 1)
        return lab

    def echo(self, lab: Installation) -> None:
        """Be served by the other route."""
        client = Client(self, lab.ports[ECHO])
        client.read_until(END_OF_GREETING)
        client.finish()

    async def test_a_route_to_itself(self) -> None:
        """Each client of it is one connection that ends as loop, by an address and by a name; the log says so."""
        for address in ("127.0.0.1", "localhost"):
            lab = await self.lab()
            port = free_port()
            await self.serve_fleet(lab, port, (address, port))
            for _ in range(20):
                self.assertEqual(Client(self, port).socket.recv(1), b"")
            lines = (await self.lines(lab, 20 + 1))[-20:]
            self.assertEqual({(line["ending"], line["dial_error"]) for line in lines}, {("loop", "loop")})
            await wait_for(lambda lab=lab: "where this gateway itself listens" in lab.process.stderr, "the line")  # type: ignore[misc]
            told = [line for line in lab.process.stderr.splitlines() if "where this gateway itself listens" in line]
            self.assertLessEqual(len(told), 2, "once for each worker")
            self.assertIn("default/fleet sends", told[0])
            self.echo(lab)
            self.assertEqual(sum(line["ending"] == "loop" for line in lab.log()), 20)

    async def test_a_loop_over_another_process(self) -> None:
        """It takes its share of the descriptors, and the other routes are served as before."""
        for transport in ("lean", "twisted"):
            lab = await self.lab(transport=transport)
            port, far = free_port(), free_port()
            await Program(self, [sys.executable, "-c", FORWARDER, str(far), str(port)]).wait_for_output("forwarding")
            await self.serve_fleet(lab, port, ("127.0.0.1", far))
            starts = [Client(self, port) for _ in range(8)]
            await wait_for(lambda lab=lab: "accepts no connection for now" in lab.process.stderr, "the end of it")  # type: ignore[misc]
            for _ in range(200):
                self.echo(lab)
            for start in starts:
                start.socket.close()
            await wait_for(lambda lab=lab: len([1 for line in lab.log() if line["ending"] == "ok"]) >= 200, "200")  # type: ignore[misc]
            self.assertNotIn("local_shortage", {line["ending"] for line in lab.log()})
