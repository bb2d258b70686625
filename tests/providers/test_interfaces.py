"""Every class that claims an interface keeps it."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from meshgate.providers.context import ProviderContext
from meshgate.providers.directory.provider import DirectoryFactory, DirectoryOptions, DirectoryProvider
from meshgate.providers.directory.watch import FolderWatch
from meshgate.providers.feed import Feed
from meshgate.providers.interfaces import IRouteProvider, IRouteProviderFactory, ISnapshotSink
from meshgate.providers.plugin import RouteProviderPlugin
from meshgate.providers.registry import find_factories
from tests.inventory_example import example_module

example = example_module("provider")
CONTEXT = ProviderContext(Clock())

CLASSES = [
    (DirectoryFactory, IRouteProviderFactory),
    (DirectoryProvider, IRouteProvider),
    (FolderWatch, IReadDescriptor),
    (RouteProviderPlugin, IPlugin),
    (RouteProviderPlugin, IRouteProviderFactory),
    (example.InventoryFactory, IRouteProviderFactory),
    (example.InventoryProvider, IRouteProvider),
]
"""Which class claims which interface."""

FACTORIES = [
    (DirectoryFactory(), DirectoryOptions((), 1.0)),
    (
        RouteProviderPlugin("x", "for tests", "meshgate.providers.directory.provider.DirectoryFactory"),
        DirectoryOptions((), 1.0),
    ),
    (example.InventoryFactory(), example.InventoryOptions("inventory.json", 443, "TLS")),
]
"""Factories with options that they could have parsed."""


class InterfaceTests(SynchronousTestCase):
    """The tables above, verified."""

    def test_classes(self) -> None:
        """Every class has the methods, with the signatures, of each interface it claims."""
        for cls, interface in CLASSES:
            self.assertTrue(verifyClass(interface, cls), f"{cls} {interface}")

    def test_factories_and_what_they_make(self) -> None:
        """Every factory has its attributes too, and so has every provider it makes."""
        for factory, options in FACTORIES:
            verifyObject(IRouteProviderFactory, factory)
            provider: Any = factory.create("mine", options, CONTEXT)
            verifyObject(IRouteProvider, provider)
            self.assertEqual(provider.name, "mine")

    def test_sinks(self) -> None:
        """The feed gives sinks to providers."""
        self.assertTrue(verifyObject(ISnapshotSink, Feed(Clock(), lambda state: None).sink("mine")))

    def test_installed_plug_ins(self) -> None:
        """Every factory that this environment has as a plug-in is one, and meshgate's own is among them."""
        registry = find_factories()
        for type_name in registry.types:
            self.assertTrue(verifyObject(IRouteProviderFactory, registry.get(type_name)))
        self.assertIn("directory", registry.types)
