"""Every class that claims an interface keeps it."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from meshgate.providers.directory.provider import DirectoryFactory, DirectoryOptions, DirectoryProvider
from meshgate.providers.directory.watch import FolderWatch
from meshgate.providers.feed import Feed
from meshgate.providers.interfaces import (
    IRouteProvider,
    IRouteProviderFactory,
    ISnapshotSink,
    OptionProblem,
    OptionsError,
    ProviderContext,
    unknown_options,
)
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
    (example.InventoryFactory(), example.Options("hosts.json", 443, "TLS")),
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


class OptionsTests(SynchronousTestCase):
    """Faults in a provider's options."""

    def test_known_options_pass(self) -> None:
        """Known options are no fault."""
        self.assertEqual(unknown_options({"paths": []}, ("paths", "poll")), [])

    def test_a_misspelled_option_names_the_nearest(self) -> None:
        """A near miss is answered with the name that was meant."""
        expected = OptionProblem(("path",), "unknown option 'path'", "did you mean 'paths'?")
        self.assertEqual(unknown_options({"path": "x"}, ("paths", "poll")), [expected])

    def test_a_strange_option_lists_all(self) -> None:
        """An option like no other is answered with all that there are."""
        (problem,) = unknown_options(["url"], ("poll", "paths"))
        self.assertEqual(problem.hint, "the options are paths, poll")

    def test_the_error_says_everything(self) -> None:
        """Whoever prints only the exception still sees every fault."""
        error = OptionsError(OptionProblem(("a",), "a is wrong"), OptionProblem(("b",), "b is wrong"))
        self.assertEqual(str(error), "a is wrong; b is wrong")
