"""
Golden texts of whole runs of ``meshgate check``: one test for each file of the group ``whole_files``.

They are the kinds of files that Istio's documentation shows and that people ask about, with everything that is said of
them: mostly little.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from meshgate.cli import main
from tests.golden import WHOLE_FILES, Golden, GoldenTestCase
from tests.support import new_folder

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
