"""The setting ``upstream_source``, in real workers."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.installation import ECHO
from tests.lab_with_workers import END_OF_GREETING, Client, WorkersTestCase
from tests.support import wait_for


def sources(port: int) -> set[str]:
    """The addresses from which connections to a port on loopback have been made."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    there = [row[1] for row in rows if row[2] == f"0100007F:{port:04X}"]
    return {".".join(str(byte) for byte in reversed(bytes.fromhex(name.partition(":")[0]))) for name in there}


class SettingTests(WorkersTestCase):
    """From the file to the sockets."""

    async def test_it_is_followed(self) -> None:
        """The addresses given are dialed from, after a reload others; one that is not there is told of."""
        lab = await self.start(upstream_source="[127.0.0.11, 127.0.0.12]")
        clients = self.clients(lab.ports[ECHO], 8)
        for client in clients:
            client.read_until(END_OF_GREETING)
        self.assertEqual(sources(lab.ports[2701]), {"127.0.0.11", "127.0.0.12"})
        lab.edit_settings(upstream_source="[127.0.0.13, 192.0.2.1]")
        lab.process.signal(signal.SIGHUP)

        def followed() -> bool:
            client = Client(self, lab.ports[ECHO])
            client.read_until(END_OF_GREETING)
            return "127.0.0.13" in sources(lab.ports[2701])

        await wait_for(followed, "a dial from the other address")
        wanted = "warning[MG3104]: upstream_source: 192.0.2.1 is no address of this machine, and is passed over"
        await lab.process.wait_for_output(wanted)
