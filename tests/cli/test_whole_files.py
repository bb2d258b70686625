"""
Golden texts of whole runs of ``meshgate check``: one test for each file of the group ``whole_files``.

They are the kinds of files that Istio's documentation shows and that people ask about, with everything that is said of
them: mostly little.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from meshgate.cli import main
from meshgate.resources.problem import Severity
from tests.golden import WHOLE_FILES, Golden, GoldenTestCase, all_cases
from tests.support import IMPORT_ROOT, new_folder

ROW = re.compile(r"\(``(\w+)``\)\n     - (.+)\n")
"""The name of a file in the page, and the codes beside it."""

FILE = "routes.yaml"
ASKED = "# $ meshgate "
"""The beginning of a comment with another command to run on the file."""


class WholeFileTests(GoldenTestCase, groups=WHOLE_FILES):
    """What the command line says of whole files."""

    def judge(self, case: Golden) -> Iterator[str]:
        """Run ``meshgate check`` and the commands that the comments of the file ask for."""
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(new_folder(self))
        Path(FILE).write_bytes(case.text.encode())
        asked = [line.removeprefix(ASKED) for line in case.text.splitlines() if line.startswith(ASKED)]
        for command in (f"check {FILE}", *asked):
            result = CliRunner().invoke(main, shlex.split(command), prog_name="meshgate")
            self.assertIsInstance(result.exception, SystemExit | None, result.output)
            yield f"$ meshgate {command}"
            yield from result.output.splitlines()
            yield f"exit status {result.exit_code}"


class PageTests(SynchronousTestCase):
    """The page of the documentation about some of the files."""

    def test_the_page_says_what_is_said(self) -> None:
        """Its rows have the codes of ``meshgate check``, the worst first."""
        page = IMPORT_ROOT / "docs" / "reference" / "istio-examples.rst"
        if not page.exists():
            raise SkipTest("this test is not run from a checkout")
        rows = dict(ROW.findall(page.read_text(encoding="utf-8")))
        wanted = {case.path.stem: _codes(case.shown) for case in all_cases() if case.path.stem in rows}
        self.assertEqual(rows, wanted)


def _codes(shown: str) -> str:
    """The codes that the first command shows, by severity."""
    first = shown.split("$ meshgate ")[1]
    by_severity = {
        severity.value: sorted(set(re.findall(rf"\b{severity.value}\[(MG\d+)\]", first)))
        for severity in (Severity.ERROR, Severity.WARNING, Severity.INFO)
    }
    found = (f"{severity} {', '.join(codes)}" for severity, codes in by_severity.items() if codes)
    return "; ".join(found) or "nothing"
