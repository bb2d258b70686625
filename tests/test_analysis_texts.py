"""The exact texts of problems, of the table in :mod:`tests.analysis_texts`."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.latest import latest
from meshgate.resources.problem import Phase, has_errors
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from tests.analysis_texts import CASES, EXTENDED_CASES, REFUSED_CASES
from tests.configurations import PROXY, compiled
from tests.key_pairs import key_pair, terminating


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

    def test_resources_that_are_not_valid(self) -> None:
        """What refers to one is told so, in these words."""
        for code, documents, text in REFUSED_CASES:
            reading = read_text(documents, "routes.yaml")
            self.assertTrue(reading.refused)
            problems = compile_table(reading.resources, PROXY, refused=reading.refused).problems
            self.assertEqual("\n".join(str(each) for each in problems if each.code == code), text)

    def test_the_key_of_another_certificate(self) -> None:
        """The text for a Secret whose two parts do not belong together; neither part is in it."""
        problems = compiled(terminating("cert"), key_pair("cert", own_key=False)).problems
        (problem,) = (each for each in problems if each.code == "MG2073")
        self.assertEqual(
            str(problem).partition(": ")[2],
            "error[MG2073]: Gateway default/gw: spec.servers[0].tls.credentialName: the Secret istio-system/cert "
            "(routes.yaml:3:1) cannot be used: its key is that of another certificate (put the two in that belong "
            "together)",
        )

    def test_each_code_has_a_text(self) -> None:
        """No code of analysis lacks an example."""
        self.assertEqual(
            {code for code, _, _ in CASES + EXTENDED_CASES + REFUSED_CASES} | {"MG2073"},
            {code for code in CODES if code.startswith("MG2")},
        )
