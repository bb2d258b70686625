"""The exact text of the problems that the reading of resources finds, as ``tests/golden`` lists them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.reader import read_text
from tests.golden import all_cases

CASES = list(all_cases())


class GoldenTests(SynchronousTestCase):
    """What people read."""

    maxDiff = None

    def test_each_problem_has_its_text(self) -> None:
        """Each text has the problem it is listed under, and says it in these words."""
        for case in CASES:
            problems = read_text(case.text, "routes.yaml").all_problems
            shown = "\n".join(str(problem) for problem in problems if problem.code == case.code)
            self.assertEqual(shown.split(), case.shown.split(), f"{case.text}\n{shown}")

    def test_each_code_of_a_rule_has_a_text(self) -> None:
        """A new rule of validation comes with a case."""
        rules = {code for code in CODES if code.startswith("MG1")}
        self.assertLessEqual(rules, {case.code for case in CASES})
