"""Tests of :mod:`meshgate.providers.registry` and :mod:`meshgate.providers.plugin`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import twisted.plugins
from meshgate.providers.directory.provider import DirectoryFactory
from meshgate.providers.interfaces import (
    IRouteProvider,
    IRouteProviderFactory,
    OptionProblem,
    OptionsError,
    ProviderContext,
)
from meshgate.providers.plugin import RouteProviderPlugin
from meshgate.providers.registry import Registry, UnknownProviderTypeError, find_factories
from meshgate.resources.problem import Problem, Severity
from tests.support import IMPORT_ROOT, new_folder

PLUGIN = """
from meshgate.providers.plugin import RouteProviderPlugin
{attribute} = RouteProviderPlugin({type_name!r}, "for a test", {factory!r})
"""
DIRECTORY = "meshgate.providers.directory.provider.DirectoryFactory"


@implementer(IRouteProviderFactory)
class PickyFactory:
    """Takes one option, ``size``, and breaks over ``crash``."""

    type_name = "picky"
    summary = "for tests"

    def parse_options(self, options: Mapping[str, object], folder: str) -> object:
        """Give back the size."""
        if "crash" in options:
            raise KeyError("crash")
        if "size" not in options:
            raise OptionsError(OptionProblem(("size",), "is required"))
        return (folder, options["size"])

    def create(self, name: str, options: Any, context: ProviderContext) -> IRouteProvider:
        """Never asked for here."""
        raise NotImplementedError


class FindFactoriesTests(SynchronousTestCase):
    """:func:`find_factories`, over real plug-in files in a folder of the test's own."""

    def setUp(self) -> None:
        """Put an empty folder on the path of ``twisted.plugins``, as an installed package would."""
        self.folder = new_folder(self)
        twisted.plugins.__path__.append(str(self.folder))
        self.addCleanup(twisted.plugins.__path__.remove, str(self.folder))

    def plug_in(self, module: str, text: str) -> None:
        """Write a plug-in file."""
        (self.folder / f"{module}.py").write_text(text)
        self.addCleanup(sys.modules.pop, f"twisted.plugins.{module}", None)

    def test_it_finds_what_is_installed(self) -> None:
        """A plug-in file on the path of twisted.plugins adds its type."""
        self.plug_in("registry_one", PLUGIN.format(attribute="one", type_name="one", factory=DIRECTORY))
        registry = find_factories()
        self.assertIn("one", registry.types)
        self.assertEqual(registry.get("one").summary, "for a test")

    def test_types_are_sorted(self) -> None:
        """Wherever types are listed, they stand in the same order."""
        text = "".join(PLUGIN.format(attribute=name, type_name=name, factory=DIRECTORY) for name in ("zeta", "alpha"))
        self.plug_in("registry_sorted", text)
        types = find_factories().types
        self.assertEqual(list(types), sorted(types))
        self.assertLess(types.index("alpha"), types.index("zeta"))

    def test_the_first_module_keeps_a_type_name(self) -> None:
        """Of two plug-ins with one name the first by module name wins, and the other is reported."""
        self.plug_in("registry_b", PLUGIN.format(attribute="mine", type_name="twice", factory="b.B"))
        self.plug_in("registry_a", PLUGIN.format(attribute="mine", type_name="twice", factory="a.A"))
        registry = find_factories()
        winner = registry.get("twice")
        assert isinstance(winner, RouteProviderPlugin)
        self.assertEqual(winner.factory, "a.A")
        (problem,) = registry.problems
        self.assertEqual(
            str(problem),
            "warning[MG3004]: the provider type 'twice' of twisted.plugins.registry_b.mine is taken already by "
            "twisted.plugins.registry_a.mine (uninstall one of the two packages)",
        )

    def test_a_broken_file_is_a_problem(self) -> None:
        """A plug-in file that cannot be imported is named with its reason, and the others are found."""
        self.plug_in("registry_broken", "import no_such_module_at_all")
        self.plug_in("registry_whole", PLUGIN.format(attribute="one", type_name="whole", factory=DIRECTORY))
        registry = find_factories()
        self.flushLoggedErrors(ModuleNotFoundError)  # Twisted logs it too
        self.assertIn("whole", registry.types)
        (problem,) = registry.problems
        file = self.folder / "registry_broken.py"
        self.assertEqual(
            str(problem).replace(str(file), "FILE"),
            "FILE: warning[MG3002]: the plug-in file cannot be loaded: ModuleNotFoundError: No module named "
            "'no_such_module_at_all'",
        )

    def test_a_factory_without_its_methods_is_a_problem(self) -> None:
        """An object that claims the interface and lacks a method is reported, not offered."""
        text = """
from twisted.plugin import IPlugin
from zope.interface import implementer
from meshgate.providers.interfaces import IRouteProviderFactory

@implementer(IPlugin, IRouteProviderFactory)
class Half:
    type_name = "half"
    summary = "has no create"

    def parse_options(self, options, folder):
        return None

half = Half()
"""
        self.plug_in("registry_half", text)
        registry = find_factories()
        self.assertNotIn("half", registry.types)
        (problem,) = registry.problems
        wanted = "warning[MG3003]: the provider plug-in twisted.plugins.registry_half.half cannot be used: "
        self.assertTrue(str(problem).startswith(wanted), problem)
        self.assertTrue(problem.message.endswith(".create(name, options, context) attribute was not provided"), problem)

    def test_a_type_name_has_a_form(self) -> None:
        """A type name that nobody could write in the settings as documented is reported."""
        self.plug_in("registry_form", PLUGIN.format(attribute="one", type_name="My Type", factory=DIRECTORY))
        (problem,) = find_factories().problems
        self.assertIn("type_name 'My Type' is not made of lower-case letters", problem.message)

    def test_the_plug_in_file_is_light(self) -> None:
        """Importing what a plug-in file needs does not import the YAML reader nor the provider."""
        code = (
            "import sys, meshgate.providers.plugin as p; p.RouteProviderPlugin('a', 'b', 'c.C');"
            "print([m for m in sys.modules if m.startswith(('pydantic', 'ruamel', 'meshgate.resources'))])"
        )
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=IMPORT_ROOT, capture_output=True, text=True, check=True
        )
        self.assertEqual(found.stdout.strip(), "[]")


class RegistryTests(SynchronousTestCase):
    """Choosing from a :class:`Registry`."""

    def setUp(self) -> None:
        """Two types to choose from."""
        self.registry = Registry({"picky": PickyFactory(), "directory": DirectoryFactory()})

    def test_an_unknown_type_names_the_nearest(self) -> None:
        """A misspelled type is answered with the nearest one and the list of all."""
        error = self.assertRaises(UnknownProviderTypeError, self.registry.get, "direktory")
        self.assertEqual(error.message, "unknown provider type 'direktory'")
        self.assertEqual(error.hint, "did you mean 'directory'? the known types are directory, picky")

    def test_an_unknown_type_like_no_other(self) -> None:
        """A type that resembles none is answered with the list alone."""
        error = self.assertRaises(UnknownProviderTypeError, self.registry.choose, "x", "consul", {}, "/")
        self.assertEqual(error.hint, "the known types are directory, picky")

    def test_an_unknown_type_may_be_a_broken_plug_in(self) -> None:
        """The hint for an unknown type has the problems of plug-ins that cannot be used."""
        broken = Problem(Severity.WARNING, "MG3002", "the plug-in file cannot be loaded: no", file="x.py")
        error = self.assertRaises(UnknownProviderTypeError, Registry({}, (broken,)).get, "mine")
        self.assertIn("; x.py: warning[MG3002]: the plug-in file cannot be loaded: no", error.hint)

    def test_a_choice_carries_the_parsed_options(self) -> None:
        """The factory sees its own options and the folder, and what it returns is kept."""
        choice = self.registry.choose("mine", "picky", {"size": 3}, "/etc")
        self.assertEqual((choice.name, choice.type_name, choice.options), ("mine", "picky", ("/etc", 3)))

    def test_choices_are_the_same_by_type_and_options(self) -> None:
        """A running provider goes on if its type and its options are the same."""
        choice = self.registry.choose("mine", "picky", {"size": 3}, "/etc")
        self.assertTrue(choice.same_as(self.registry.choose("mine", "picky", {"size": 3}, "/etc")))
        self.assertFalse(choice.same_as(self.registry.choose("mine", "picky", {"size": 4}, "/etc")))

    def test_wrong_options_pass_through(self) -> None:
        """The factory's own verdict reaches the caller with its path."""
        error = self.assertRaises(OptionsError, self.registry.choose, "mine", "picky", {}, "/")
        self.assertEqual(error.problems, (OptionProblem(("size",), "is required"),))

    def test_a_factory_that_breaks_is_named(self) -> None:
        """Any other exception of a plug-in becomes a verdict on its options, which names the plug-in."""
        error = self.assertRaises(OptionsError, self.registry.choose, "mine", "picky", {"crash": 1}, "/")
        self.assertEqual(str(error), "the provider type 'picky' failed over its options: KeyError: 'crash'")


class RouteProviderPluginTests(SynchronousTestCase):
    """:class:`RouteProviderPlugin` stands in for the real factory."""

    def test_it_asks_the_real_factory(self) -> None:
        """Options are judged by the factory behind the dotted name."""
        plugin = RouteProviderPlugin("picky", "for tests", f"{__name__}.PickyFactory")
        self.assertEqual(plugin.parse_options({"size": 1}, "/"), ("/", 1))

    def test_it_creates_by_the_real_factory(self) -> None:
        """Providers are made by the factory behind the dotted name."""
        plugin = RouteProviderPlugin("picky", "for tests", f"{__name__}.PickyFactory")
        context = ProviderContext(None)
        self.assertRaises(NotImplementedError, plugin.create, "mine", None, context)
