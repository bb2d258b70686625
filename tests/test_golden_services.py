"""The exact texts of problems, of the tables in :mod:`tests.golden` for DestinationRules, services and workloads."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.reader import read_text
from tests.golden import destinationrule, serviceentry

CASES = destinationrule.CASES + serviceentry.CASES


class GoldenTests(SynchronousTestCase):
    """What people read."""

    maxDiff = None

    def test_each_problem_has_its_text(self) -> None:
        """The document has the problem, and no other but those of further codes, and its text is this one."""
        for code, document, text in CASES:
            problems = [problem for problem in read_text(document, "routes.yaml").all_problems if problem.code == code]
            self.assertEqual("\n".join(map(str, problems)), text)

    def test_each_code_has_a_text(self) -> None:
        """None of the codes of DestinationRules, services and workloads lacks an example."""
        ours = {code for code in CODES if "MG1060" <= code <= "MG1099"}
        self.assertEqual({code for code, _, _ in CASES}, ours)
