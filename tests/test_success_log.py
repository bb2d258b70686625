"""Tests of what a real gateway says of success in its log: each once."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

import meshgate
from meshgate.compiled import compiled_text
from tests.dns_server import DnsServer, Fault
from tests.installation import ECHO, NAME_1, SNI, Installation, running
from tests.lab_with_workers import WorkersTestCase
from tests.networks import enter_own_network
from tests.support import TwistdProcess, new_folder, reactor, wait_for
from tests.test_control import ROUTES, SETTINGS

VIP = "192.0.2.77"


class StartTests(WorkersTestCase):
    """The first lines."""

    async def first_lines(self, lab: Installation) -> tuple[str, str]:
        """What is said of the installation, and of its ports; nothing is said of a first generation."""
        await wait_for(lambda: "listening on" in lab.process.stderr, "the ports")
        log = lab.process.stderr
        self.assertNotIn("generation", log)
        (first,) = re.findall(r"meshgate .* starts with .*", log)
        (ports,) = re.findall(r"listening on (.*)", log)
        return first, ports

    async def test_one_worker(self) -> None:
        """Version, settings, workers, transport and whether it is compiled stand in one line, the ports in another."""
        lab = await running(self, {"transport": "twisted", "workers": "1"})
        first, ports = await self.first_lines(lab)
        self.assertEqual(
            first,
            f"meshgate {meshgate.__version__} starts with {lab.settings}: "
            f"1 worker, twisted transport, {compiled_text()}",
        )
        for port in (ECHO, SNI):
            self.assertRegex(ports, rf":{lab.ports[port]}\b")

    async def test_two_workers(self) -> None:
        """The same, and when all of them serve."""
        lab = await self.start()
        first, _ = await self.first_lines(lab)
        self.assertIn(": 2 workers, lean transport, ", first)
        self.assertEqual(lab.process.stderr.count("all 2 workers serve"), 1)


class GenerationTests(TestCase):
    """A line for each generation that serves otherwise."""

    timeout = 120

    async def test_changes(self) -> None:
        """What comes and goes is said with its generation; what changes nothing for connections is not."""
        lab = await running(self)
        route = lab.routes / "31-sni-route-1.yaml"
        text = route.read_text()
        moved = text.replace("simple-sni-1.", "other.")
        route.write_text(moved)
        await lab.process.wait_for_output("generation 2: ")
        route.write_text(f"# only a comment\n{moved}")
        await wait_for(lambda: lab.status()["generation"] == 3, "the generation of the comment")
        route.write_text(text)
        await lab.process.wait_for_output(f": + {NAME_1}")
        (first, gone), (last, back) = re.findall(r"generation (\d+): (.*)", lab.process.stderr)
        where = f"{NAME_1} on {lab.ports[SNI]}"
        self.assertEqual((gone, back), (f"- {where}", f"+ {where}"))
        self.assertGreater(int(last), int(first) + 1)

    async def test_a_repaired_file(self) -> None:
        """A file without errors any more is said once."""
        lab = await running(self)
        route = lab.routes / "31-sni-route-1.yaml"
        text = route.read_text()
        route.write_text(f"{text}\n  broken: [\n")
        await lab.process.wait_for_output("31-sni-route-1.yaml:")
        route.write_text(text)
        await lab.process.wait_for_output("31-sni-route-1.yaml has no errors any more")

    async def test_a_port_at_last(self) -> None:
        """A port that could not be bound is said when it could."""
        lab = await running(self)
        taken = socket.create_server(("0.0.0.0", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        for file in lab.routes.iterdir():
            file.write_text(file.read_text().replace(str(lab.ports[SNI]), str(port)))
        await lab.process.wait_for_output("MG3100")
        taken.close()
        await lab.process.wait_for_output("listening at last on ")
        self.assertEqual(len(re.findall(rf"listening at last on .*:{port}\n", lab.process.stderr)), 1)

    async def test_a_part_that_is_renewed(self) -> None:
        """A part that could not be renewed at a reload is said at the reload that renews it."""
        lab = await running(self)
        lab.edit_settings(path="nowhere/access.log")
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_output("MG3006")
        lab.edit_settings(path="access.log")
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_output("the access log is renewed")


class NameTests(TestCase):
    """A name that resolves again."""

    timeout = 120

    async def one_that_fails(self, workers: int) -> None:
        """Have a name fail for a while."""
        dns = DnsServer(reactor)
        dns.start()
        self.addCleanup(dns.stop)
        dns.set("db.example.org", ["127.0.0.1"], ttl=1)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        folder = new_folder(self)
        (folder / "routes.yaml").write_text(ROUTES.format(port=port, target=9))
        settings = SETTINGS.format(dns=dns.address[1]) + f"workers: {workers}\n"
        (folder / "meshgate.yaml").write_text(settings)
        process = TwistdProcess(self, ["meshgate", "--config", "meshgate.yaml"], folder)
        await process.wait_for_output("listening on")
        dns.break_down("db.example.org", Fault.SERVFAIL)
        await process.wait_for_output("MG3101")
        dns.mend()
        await process.wait_for_output("names of endpoints that resolve again: db.example.org\n")
        began = reactor.seconds()
        await wait_for(lambda: reactor.seconds() > began + 1, "more answers")
        self.assertEqual(process.stderr.count("resolve again"), 1)

    async def test_one_worker(self) -> None:
        """It is said once."""
        await self.one_that_fails(1)

    async def test_two_workers(self) -> None:
        """Also where two workers ask."""
        await self.one_that_fails(2)


class MissingAddressTests(TestCase):
    """An address that the machine does not have yet."""

    timeout = 120

    def installation(self, workers: int, wait: bool) -> tuple[TwistdProcess, Path]:
        """A gateway with one port on that address, in a network of its own."""
        enter_own_network(self)
        folder = new_folder(self)
        (folder / "routes.yaml").write_text(ROUTES.format(port=31400, target=9).replace("127.0.0.1", VIP))
        settings = (
            SETTINGS.format(dns=9) + f"workers: {workers}\nlistening: {{wait_for_addresses: {str(wait).lower()}}}\n"
        )
        (folder / "meshgate.yaml").write_text(settings)
        return TwistdProcess(self, ["meshgate", "--config", "meshgate.yaml"], folder), folder

    async def test_it_ends_the_start(self) -> None:
        """Unless it is waited for, the start fails, with a hint."""
        process, _ = self.installation(1, wait=False)
        self.assertEqual(await process.exit_status(), 1)
        self.assertIn(f"port {VIP}:31400 cannot be bound: address not available on this machine; ", process.stderr)
        self.assertIn("set listening.wait_for_addresses", process.stderr)

    async def test_another_reason_ends_the_start_all_the_same(self) -> None:
        """A port that somebody has is not waited for."""
        process, _ = self.installation(1, wait=True)
        await process.wait_for_output("MG3100")
        process.kill()
        subprocess.run(["ip", "address", "add", f"{VIP}/32", "dev", "lo"], check=True)
        with socket.create_server((VIP, 31400)):
            other = TwistdProcess(self, ["meshgate", "--config", "meshgate.yaml"], process.folder)
            self.assertEqual(await other.exit_status(), 1)
        self.assertIn("in use by another process", other.stderr)

    async def comes_later(self, workers: int) -> None:
        """Start without the address, and add it then."""
        process, _ = self.installation(workers, wait=True)
        await process.wait_for_output(
            f"port {VIP}:31400 cannot be bound: address not available on this machine; trying"
        )
        self.assertIn("listening on no port", process.stderr)
        subprocess.run(["ip", "address", "add", f"{VIP}/32", "dev", "lo"], check=True)
        await process.wait_for_output(f"listening at last on {VIP}:31400\n", 5)
        await process.wait_for_port(31400, VIP)

    async def test_it_comes_later(self) -> None:
        """It is bound within seconds of being there."""
        await self.comes_later(1)

    async def test_it_comes_later_to_workers(self) -> None:
        """So it is where workers serve."""
        await self.comes_later(2)
