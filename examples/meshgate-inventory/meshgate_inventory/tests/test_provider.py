"""The provider over a real file, with a clock in place of the reactor and a sink that records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from meshgate.providers.interfaces import IRouteProvider, IRouteProviderFactory, OptionsError, ProviderContext
from meshgate.providers.registry import find_factories
from meshgate.testing import RecordingSink
from meshgate_inventory.provider import InventoryFactory, InventoryProvider, Options


class OptionsTests(SynchronousTestCase):
    """The options of the provider."""

    def test_defaults(self) -> None:
        """The path is enough; it is relative to the folder of the settings."""
        options = InventoryFactory().parse_options({"path": "hosts.json"}, "/etc/meshgate")
        self.assertEqual(options, Options("/etc/meshgate/hosts.json", 443, "TLS"))

    def test_every_fault_is_named(self) -> None:
        """All faults are reported at once, each with the path of its option."""
        options = {"paht": "hosts.json", "port": 70000, "protocol": "UDP"}
        error = self.assertRaises(OptionsError, InventoryFactory().parse_options, options, "/")
        self.assertEqual([fault.path for fault in error.problems], [("paht",), ("path",), ("port",), ("protocol",)])


class ProviderTests(SynchronousTestCase):
    """The routes that are published."""

    def setUp(self) -> None:
        """Make a provider of a file with one host, and do not start it."""
        self.file = Path(self.mktemp())
        self.write({"a.example.com": "192.0.2.1:8443"})
        self.clock, self.sink = Clock(), RecordingSink()
        self.provider = self.make("TLS")

    def make(self, protocol: str) -> InventoryProvider:
        """Make a provider of the file."""
        options = Options(str(self.file), 443, protocol)
        provider = InventoryFactory().create("hosts", options, ProviderContext(self.clock, "edge"))
        assert isinstance(provider, InventoryProvider)
        return provider

    def write(self, hosts: Mapping[str, object]) -> None:
        """Replace the file in one step."""
        fresh = self.file.with_name(f"{self.file.name}.fresh")
        fresh.write_text(json.dumps(hosts))
        fresh.rename(self.file)

    def test_it_publishes_at_its_start(self) -> None:
        """A Gateway, and for each host a VirtualService and a ServiceEntry, all valid, in the default namespace."""
        for provider in (self.provider, self.make("TCP")):
            provider.start(self.sink)
            self.assertEqual(self.sink.last.problems, ())
            kinds = [resource.kind for resource in self.sink.last.resources]
            self.assertEqual(kinds, ["Gateway", "VirtualService", "ServiceEntry"])
            self.assertEqual({resource.namespace for resource in self.sink.last.resources}, {"edge"})

    def test_no_hosts(self) -> None:
        """A file without hosts withdraws all routes."""
        self.write({})
        self.provider.start(self.sink)
        self.assertEqual(self.sink.last.resources, ())

    def test_it_follows_the_file(self) -> None:
        """A change is published within a second, and nothing is published without one."""
        self.provider.start(self.sink)
        self.clock.pump([0.5] * 4)
        self.assertEqual(len(self.sink.snapshots), 1)
        self.write({"b.example.com": "[2001:db8::1]:8443"})
        self.clock.advance(1)
        self.assertEqual(self.sink.names("VirtualService"), ["b.example.com"])

    def test_a_file_that_cannot_be_read(self) -> None:
        """The failure is reported, nothing is published, and the next good file is."""
        self.provider.start(self.sink)
        self.file.unlink()
        self.clock.advance(1)
        self.file.write_text("{")
        self.clock.advance(1)
        self.write({"a.example.com": "no port"})
        self.clock.advance(1)
        missing, broken, wrong = self.sink.failures
        self.assertIsInstance(missing, FileNotFoundError)
        self.assertIn("Expecting property name", str(broken))
        self.assertIn("is not of the form address:port", str(wrong))
        self.assertEqual(len(self.sink.snapshots), 1)
        self.write({"b.example.com": "192.0.2.1:8443"})
        self.clock.advance(1)
        self.assertEqual(self.sink.names("VirtualService"), ["b.example.com"])

    def test_reload_reads_it_again(self) -> None:
        """The file is read again although nothing seems to have changed."""
        self.provider.start(self.sink)
        self.provider.reload()
        self.assertEqual(len(self.sink.snapshots), 2)

    def test_stop_leaves_nothing(self) -> None:
        """No timer is left, whether or not the provider has started."""
        self.provider.stop()
        self.provider.start(self.sink)
        self.provider.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PlugInTests(SynchronousTestCase):
    """The interfaces, and the plug-in as meshgate finds it; for that, the package has to be installed."""

    def test_interfaces(self) -> None:
        """No method is missing, and none takes other arguments."""
        verifyClass(IRouteProviderFactory, InventoryFactory)
        verifyClass(IRouteProvider, InventoryProvider)

    def test_it_is_found(self) -> None:
        """The settings can choose the type."""
        verifyObject(IRouteProviderFactory, find_factories().get("inventory"))
