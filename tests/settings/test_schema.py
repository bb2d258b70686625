"""Tests of :mod:`meshgate.settings.schema`, and of the shipped settings file against what it is made from."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.directory.provider import DEFAULT_POLL, DirectoryFactory
from meshgate.providers.registry import Registry
from meshgate.resources.yaml.document import YamlDocument, parse_documents
from meshgate.settings.load import load_settings
from meshgate.settings.schema import SettingsFile, default_text, settings_reference
from meshgate.settings.section import Key, Section, keys
from tests.support import IMPORT_ROOT

SHIPPED = IMPORT_ROOT / "meshgate" / "defaults" / "meshgate.yaml"
Path = tuple[str | int, ...]


class Place(NamedTuple):
    """A key and where it has to stand; lists have their first entry documented."""

    path: Path
    key: Key


def places(section: type[Section] = SettingsFile, prefix: Path = ()) -> Iterator[Place]:
    """Every key that there is."""
    for key in keys(section):
        path = (*prefix, key.name)
        yield Place(path, key)
        if key.section is not None:
            yield from places(key.section, (*path, 0) if key.field.default == () else path)


def value_at(document: YamlDocument, path: Path) -> Any:
    """The value of a key that has to stand in the file."""
    value = document.value
    for step in path:
        value = value[step]
    return value


class ShippedFileTests(SynchronousTestCase):
    """``etc/meshgate.yaml`` names every key, in the words and with the defaults of the models."""

    maxDiff = None

    def setUp(self) -> None:
        """Read the file."""
        self.text = SHIPPED.read_text(encoding="utf-8")
        (self.document,) = parse_documents(self.text)

    def comment_above(self, path: Path) -> str:
        """The comment directly above a key, its lines joined."""
        lines = self.text.splitlines()
        line, _ = self.document.key_position(path)
        first = line - 1
        while lines[first - 1].lstrip().startswith("# "):
            first -= 1
        return " ".join(comment.strip().removeprefix("# ") for comment in lines[first : line - 1])

    def test_every_key_stands_there_with_its_meaning_and_default(self) -> None:
        """The comment above each key is the model's description, and then its default."""
        expected, found = {}, {}
        for path, key in places():
            value_at(self.document, path)
            default = default_text(key.field)
            ending = (f" Default: {default}" if default else " Required") if key.section is None else ""
            expected[path] = f"{key.field.description}{ending}"
            found[path] = self.comment_above(path)
        self.assertEqual(found, expected)

    def test_what_is_called_a_default_is_one(self) -> None:
        """A key whose comment tells a default has that value, unless the lab needs another one."""
        others: dict[Path, Any] = {("api", "namespaces"): ["istioinaction"], ("api", "pods"): True}
        for path, value in others.items():
            self.assertEqual(value_at(self.document, path), value)
        for path, key in places():
            if key.section is None and not key.field.is_required() and path not in others:
                with_default = parse_documents(f"key: {default_text(key.field)}")[0].value["key"]
                self.assertEqual(value_at(self.document, path), with_default, path)

    def test_the_directory_providers_options_stand_there(self) -> None:
        """The options of the one provider are documented in its own words, with its default."""
        self.assertEqual(value_at(self.document, ("providers", 0, "poll")), DEFAULT_POLL)
        self.assertTrue(self.comment_above(("providers", 0, "poll")).endswith(f"Default: {DEFAULT_POLL}"))

    def test_it_loads_without_a_word(self) -> None:
        """The file is in order, and paths in it lead to the routes beside it."""
        settings = load_settings(SHIPPED, Registry({"directory": DirectoryFactory()}))
        self.assertEqual(settings.warnings, ())
        self.assertEqual(settings.route_paths(), (str(SHIPPED.parent / "routes"),))

    def test_the_ports_of_the_lab_are_no_local_ports(self) -> None:
        """No outgoing connection is given a port of the lab: all lie below the usual range."""
        ports = [int(port) for port in re.findall(r"\bport: ([1-9]\d*)", self.text)]
        self.assertEqual(ports, [18443, 31443, 15090, 2701, 18001, 18002])

    def test_its_lines_fit_a_screen(self) -> None:
        """No line is longer than 120 characters."""
        self.assertEqual([line for line in self.text.splitlines() if len(line) > 120], [])


class ReferenceTests(SynchronousTestCase):
    """:func:`settings_reference`."""

    def test_every_key_has_an_anchor(self) -> None:
        """The text has one entry for each key, under its full name."""
        entries = re.findall(r"(?m)^\.\. confval:: (\S+)$", settings_reference())
        self.assertEqual(entries, [re.sub(r"\.0\.", "[].", ".".join(map(str, path))) for path, _ in places()])

    def test_an_entry(self) -> None:
        """An entry gives the meaning, how the value is written, and the default."""
        self.assertIn(
            textwrap.dedent(
                """\
                .. confval:: access_log.format
                   :type: ``text`` or ``json`` or ``template``
                   :default: ``text``

                   text for people; json for programs, one object a line; or template for a form of your own.
                """
            ),
            settings_reference(),
        )
        self.assertIn("   :type: Port\n   :default: required\n", settings_reference())
