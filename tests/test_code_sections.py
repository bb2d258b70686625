"""Tests of ``docs/reference/codes``: every code has a section, its example gives the code, and the mend cures it."""

from __future__ import annotations

import ast
import re
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from meshgate.resources.codes import CODES, CODES_PAGE
from tests.code_sections import FOLDER, CodeSection, code_sections, run_example
from tests.test_layers import ROOT

NOT_SERVED_YET = {"MG2031", "MG2032"}
"""Errors that stay after a mend: of servers whose mode is not served yet."""

REPORTED = re.compile(r"(error|warning|info)\[(MG\d{4})\]")


def reported(section: CodeSection, files: dict[str, str]) -> tuple[set[tuple[str, str]], int]:
    """The severities and codes that the command of a section reports on its files, and its exit status."""
    outcome = run_example(section, files)
    return set(REPORTED.findall(outcome.text)), outcome.status


class CodeSectionTests(SynchronousTestCase):
    """The sections."""

    sections: list[CodeSection]

    def setUp(self) -> None:
        """Read them."""
        if not FOLDER.exists():
            raise SkipTest("these tests are not run from a checkout")
        self.sections = list(code_sections())

    def test_links_lead_to_the_documentation(self) -> None:
        """The address of the sections is a page of the documentation that the package names."""
        setup = ConfigParser()
        setup.read(FOLDER.parent.parent.parent / "setup.cfg")
        address = setup["metadata"]["project_urls"].split(" = ")[1]
        self.assertEqual(CODES_PAGE, f"{address}reference/codes.html")

    def test_each_code_has_one(self) -> None:
        """A new code comes with a section, and there is none without a code."""
        self.assertEqual([section.code for section in self.sections], sorted(CODES))

    def test_each_has_its_texts(self) -> None:
        """A section says the cause and the mend."""
        for section in self.sections:
            self.assertTrue(section.cause, section.code)
            self.assertTrue(section.mend, section.code)

    def test_the_examples_give_their_codes(self) -> None:
        """The command of an example reports the section's code."""
        for section in self.sections:
            if not section.said:
                found, _ = reported(section, section.before)
                self.assertIn(section.code, {code for _, code in found}, section)

    def test_the_mends_cure_them(self) -> None:
        """After the mend the code is gone, and there is no error or warning instead of it."""
        for section in self.sections:
            if not section.said:
                found, _ = reported(section, section.after)
                left = {code for severity, code in found if severity != "info" and code not in NOT_SERVED_YET} | (
                    {section.code} & {code for _, code in found}
                )
                self.assertEqual(left, set(), section.code)

    def test_running_gateways_say_what_the_sections_tell(self) -> None:
        """What a section has a running gateway say is made of the words of a module that reports the code."""
        modules = {path: _texts(path) for path in ROOT.rglob("*.py") if path.name != "codes.py"}
        for section in self.sections:
            if section.said:
                self.assertEqual(REPORTED.findall(section.said)[0][1], section.code)
                words = [text for texts in modules.values() if section.code in texts for text in texts]
                self.assertTrue([text for text in words if len(text) > 10 and text in section.said], section)


def _texts(path: Path) -> set[str]:
    """The constant texts of a module, those within f-strings among them."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
