"""Tests of the documentation: the paths that it names exist, and commands are shown as such."""

from __future__ import annotations

import re

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from meshgate.api.unstored_objects import ORIGIN
from tests.support import IMPORT_ROOT
from tests.test_layers import ABOVE, LAYERS, ROOT

NAMED = re.compile(r"``((?:meshgate|tests|docs|benchmarks|etc|examples|twisted)/[\w./-]*)``")
"""A path of this project, as the documentation writes it."""


class PathTests(SynchronousTestCase):
    """Paths of files and folders."""

    def test_they_exist(self) -> None:
        """Every path that a page names is there, so that a file that moves takes its pages along."""
        folder = IMPORT_ROOT / "docs"
        if not folder.exists():
            raise SkipTest("these tests are not run from a checkout")
        made = {"benchmarks/build", "benchmarks/build/pairs", "etc/state", ORIGIN}
        example = IMPORT_ROOT / "examples" / "meshgate-inventory"
        missing = [
            f"{page.relative_to(folder)} names {path}"
            for page in sorted(folder.rglob("*.rst"))
            for path in NAMED.findall(page.read_text(encoding="utf-8"))
            if not ((IMPORT_ROOT / path).exists() or (example / path).exists() or path in made)
        ]
        self.assertEqual(missing, [])

    def test_the_architecture_has_all_layers(self) -> None:
        """Each folder of the package is in the list of layers, in the order of :mod:`tests.test_layers`."""
        page = IMPORT_ROOT / "docs" / "explanation" / "architecture.rst"
        if not page.exists():
            raise SkipTest("these tests are not run from a checkout")
        rows = re.findall(r"(?m)^``meshgate/(\w+)``  ", page.read_text(encoding="utf-8"))
        folders = [layer for layer in (*LAYERS, *ABOVE) if (ROOT / layer).is_dir()]
        self.assertEqual(rows, folders)


class HighlightTests(SynchronousTestCase):
    """The languages of code blocks."""

    def test_commands(self) -> None:
        """A block that begins with a prompt says that it is a session at a shell, or plain text."""
        folder = IMPORT_ROOT / "docs"
        if not folder.exists():
            raise SkipTest("these tests are not run from a checkout")
        prompts = re.compile(r"(?m)^.*(?:::| (?:sh|bash|python|yaml))\n\n+ +\$ .*$")
        wrong = [
            f"{page.relative_to(folder)}: {found[0]}"
            for page in sorted(folder.rglob("*.rst"))
            for found in prompts.finditer(page.read_text(encoding="utf-8"))
        ]
        self.assertEqual(wrong, [])
