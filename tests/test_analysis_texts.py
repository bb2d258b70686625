"""The exact texts of problems, of the table in :mod:`tests.analysis_texts`."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.duplicates import latest
from meshgate.resources.problem import Phase, has_errors
from meshgate.resources.reader import read_text
from meshgate.routing.compile import compile_table
from tests.analysis_texts import CASES, EXTENDED_CASES
from tests.configurations import PROXY


class GoldenTests(SynchronousTestCase):
    """What people read."""

    maxDiff = None

    def test_each_problem_has_its_text(self) -> None:
        """Valid documents have the problem, among others of further codes, and its text is this one."""
        extended = replace(PROXY, extended=True)
        for proxy, code, documents, text in [
            *((PROXY, *case) for case in CASES),
            *((extended, *case) for case in EXTENDED_CASES),
        ]:
            reading = read_text(documents, "routes.yaml")
            self.assertFalse(has_errors(reading.all_problems), reading.all_problems)
            winners, _ = latest(reading.resources)
            problems = [each for each in compile_table(winners, proxy).problems if each.code == code]
            self.assertEqual("\n".join(map(str, problems)), text)
            self.assertEqual({problem.phase for problem in problems}, {Phase.ANALYSIS})

    def test_each_code_has_a_text(self) -> None:
        """No code of analysis lacks an example."""
        self.assertEqual(
            {code for code, _, _ in CASES + EXTENDED_CASES}, {code for code in CODES if code.startswith("MG2")}
        )
