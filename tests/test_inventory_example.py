"""Tests of ``examples/meshgate-inventory``: its parts, and the installed package in a running gateway."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.providers.interfaces import OptionProblem, OptionsError, ProviderContext
from meshgate.providers.snapshot import Snapshot
from meshgate.resources.problem import has_errors
from meshgate.transport.dialing import dial
from tests.environments import CLEAN, Environment
from tests.hello_builder import build_hello
from tests.inventory_example import FOLDER, example_module
from tests.peers import LOOPBACK, Origin, Peer, end_all
from tests.route_files import RecordingSink
from tests.support import IMPORT_ROOT, Program, free_port, new_folder, once_more, reactor, wait_for

documents = example_module("documents").documents
example = example_module("provider")

SETTINGS = """\
gateway: {{labels: {{istio: ingressgateway}}, namespace: istio-system}}
providers:
- {{name: hosts, type: inventory, path: inventory.json, port: {port}}}
"""


class OptionsTests(SynchronousTestCase):
    """What the example makes of its options."""

    def parse(self, **options: object) -> Any:
        """The options as parsed, with ``/etc`` as the folder of the settings."""
        return example.InventoryFactory().parse_options(options, "/etc")

    def faults(self, **options: object) -> tuple[OptionProblem, ...]:
        """What is wrong with the options."""
        error: OptionsError = self.assertRaises(OptionsError, self.parse, **options)
        return error.problems

    def test_the_path_is_enough(self) -> None:
        """Port and protocol have defaults; the path is relative to the settings."""
        expected = example.InventoryOptions("/etc/hosts.json", 443, "TLS")
        self.assertEqual(self.parse(path="hosts.json"), expected)

    def test_all_options(self) -> None:
        """Every option is taken."""
        expected = example.InventoryOptions("/hosts.json", 2701, "TCP")
        self.assertEqual(self.parse(path="/hosts.json", port=2701, protocol="TCP"), expected)

    def test_every_fault_is_named(self) -> None:
        """All at once, each with its place."""
        faults = self.faults(port=True, protocol="UDP", paht="x")
        self.assertEqual([fault.path for fault in faults], [("paht",), ("path",), ("port",), ("protocol",)])
        self.assertEqual(faults[0].hint, "did you mean 'path'?")


class DocumentsTests(SynchronousTestCase):
    """The documents that an inventory makes."""

    def snapshot(self, inventory: object, port: int = 443, protocol: str = "TLS") -> Snapshot:
        """The documents as meshgate reads them."""
        return Snapshot.from_documents(documents(inventory, port, protocol), provider="inventory")

    def test_they_are_valid(self) -> None:
        """One Gateway, and a VirtualService and a ServiceEntry for each host, without a problem."""
        inventory = {"a.example.com": "192.0.2.1:8443", "b.example.com": "[2001:db8::1]:443"}
        for protocol in ("TLS", "TCP"):
            snapshot = self.snapshot(inventory, protocol=protocol)
            self.assertEqual(snapshot.problems, ())
            kinds = [resource.kind for resource in snapshot.resources]
            self.assertEqual(kinds, ["Gateway", *["VirtualService", "ServiceEntry"] * 2])

    def test_the_endpoint(self) -> None:
        """The ServiceEntry leads to the address and port of the inventory, IPv6 without its brackets."""
        service_entry = self.snapshot({"b.example.com": "[2001:db8::1]:8443"}).resources[2].spec
        (endpoint,) = service_entry.endpoints
        self.assertEqual((endpoint.address, dict(endpoint.ports)), ("2001:db8::1", {"tls": 8443}))

    def test_no_hosts(self) -> None:
        """An empty inventory makes nothing, not a Gateway without hosts."""
        self.assertEqual(self.snapshot({}), Snapshot())

    def test_other_forms(self) -> None:
        """Anything but a mapping of hosts to address:port is refused with a reason."""
        wrong_ones: tuple[object, ...] = (
            [],
            {"a.example.com": "192.0.2.1"},
            {"a.example.com": 443},
            {"a.example.com": ":443"},
        )
        for wrong in wrong_ones:
            self.assertRaises(ValueError, self.snapshot, wrong)

    def test_a_host_that_is_no_host(self) -> None:
        """What only meshgate can judge, it judges: the problem names the document."""
        self.assertTrue(has_errors(self.snapshot({"not a host": "192.0.2.1:443"}).problems))


class ProviderTests(SynchronousTestCase):
    """The example's provider, over a real file and a clock."""

    def setUp(self) -> None:
        """A provider of an inventory with one host, not started."""
        self.path = new_folder(self) / "inventory.json"
        self.write({"a.example.com": "192.0.2.1:8443"})
        self.clock = Clock()
        self.sink = RecordingSink()
        options = example.InventoryOptions(str(self.path), 443, "TLS")
        context = ProviderContext(self.clock, "edge")
        self.provider = example.InventoryFactory().create("hosts", options, context)

    def write(self, inventory: object) -> None:
        """Replace the inventory."""
        fresh = self.path.with_name("fresh")
        fresh.write_text(json.dumps(inventory))
        fresh.rename(self.path)

    def hosts(self) -> list[str]:
        """The hosts published last."""
        return [each.name for each in self.sink.last.resources if each.kind == "VirtualService"]

    def test_it_publishes_at_its_start(self) -> None:
        """In the default namespace, under its own name."""
        self.provider.start(self.sink)
        self.assertEqual(self.hosts(), ["a.example.com"])
        resource = self.sink.last.resources[0]
        self.assertEqual((resource.namespace, resource.origin.provider), ("edge", "hosts"))

    def test_it_follows_the_file(self) -> None:
        """Within a second, and only when it changed."""
        self.provider.start(self.sink)
        self.clock.pump([0.5] * 4)
        self.assertEqual(len(self.sink.snapshots), 1)
        self.write({"b.example.com": "192.0.2.1:8443"})
        self.clock.advance(1)
        self.assertEqual(self.hosts(), ["b.example.com"])

    def test_an_unreadable_inventory_fails(self) -> None:
        """The sink is told, and the next good file is published."""
        self.provider.start(self.sink)
        self.path.unlink()
        self.clock.advance(1)
        self.path.write_text("{")
        self.clock.advance(1)
        gone, broken = self.sink.failures
        self.assertIsInstance(gone, FileNotFoundError)
        self.assertIn("inventory.json: Expecting property name", str(broken))
        self.assertEqual(len(self.sink.snapshots), 1)
        self.write({"b.example.com": "192.0.2.1:8443"})
        self.clock.advance(1)
        self.assertEqual(self.hosts(), ["b.example.com"])

    def test_reload_reads_it_again(self) -> None:
        """Also when nothing seems to have changed."""
        self.provider.start(self.sink)
        self.provider.reload()
        self.assertEqual(len(self.sink.snapshots), 2)

    def test_stop_leaves_nothing(self) -> None:
        """No timer, also when it never started."""
        self.provider.stop()
        self.provider.start(self.sink)
        self.provider.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class InstalledTests(TestCase):
    """The example as a user has it: installed by pip, found by a real twistd, in front of a real backend."""

    async def test_it_routes_to_a_backend(self) -> None:
        """A host of the inventory is reached by its server name, and so is one that is added to it."""
        environment = await self.install()
        backend = Origin(self)

        async def start() -> tuple[Path, int]:
            folder, port = new_folder(self), free_port()
            (folder / "inventory.json").write_text(json.dumps({"a.example.com": str(backend.endpoint)}))
            (folder / "meshgate.yaml").write_text(SETTINGS.format(port=port))
            arguments: list[str | Path] = [environment.python, environment.twistd, "-n", "--pidfile="]
            await Program(self, [*arguments, "meshgate", "--config", "meshgate.yaml"], folder, CLEAN).wait_for_port(
                port
            )
            return folder / "inventory.json", port

        inventory, port = await once_more(start)
        self.assertTrue(await self.reaches(backend, "a.example.com", port))
        self.assertFalse(await self.reaches(backend, "b.example.com", port))
        inventory.write_text(json.dumps({"b.example.com": str(backend.endpoint)}))
        deadline = reactor.seconds() + 10
        while not await self.reaches(backend, "b.example.com", port):
            self.assertLess(reactor.seconds(), deadline, "the added host is not reached")

    async def install(self) -> Environment:
        """A clean environment with the example installed from a copy, since building writes into it."""
        copy = new_folder(self) / "copy"
        shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
        environment = Environment(self, lent=[IMPORT_ROOT])
        await environment.install(copy)
        return environment

    async def reaches(self, backend: Origin, name: str, port: int) -> bool:
        """Whether a client that asks for the name gets to the backend, byte for byte, and back."""
        before = len(backend.peers)
        client: Peer = await dial(reactor, LOOPBACK, port, Peer(), timeout=10)
        client.send(build_hello(name))
        await wait_for(lambda: client.finished is not None or len(backend.peers) > before, "a route or an end")
        if client.finished is not None:
            await end_all([client])
            return False
        peer = await backend.peer(before)
        await peer.got(build_hello(name))
        peer.send(b"welcome")
        await client.got(b"welcome")
        await end_all([client, peer])
        return True
