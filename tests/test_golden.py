"""Golden texts of routes: one test for each file of :mod:`tests.golden`, and one that needs a key of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.latest import latest
from meshgate.resources.problem import Phase, Problem, has_errors
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from tests.configurations import PROXY, compiled
from tests.golden import COMPILED, WHOLE_FILES, Golden, GoldenTestCase, all_cases
from tests.key_pairs import key_pair, terminating

READ = ("destinationrule", "documents", "fields", "gateway", "serviceentry", "virtualservice")
LOADED = ("expectations", "settings")
OF_OTHER_TESTS = {"MG2073", "MG2084"}


class ReadingTests(GoldenTestCase, groups=READ):
    """Problems of reading and validation."""

    def judge(self, case: Golden) -> Iterable[Problem]:
        """Read the routes."""
        return [each for each in read_text(case.text, "routes.yaml").all_problems if each.code == case.code]


class AnalysisTests(GoldenTestCase, groups=COMPILED):
    """Problems of compiling and analysis."""

    def judge(self, case: Golden) -> Iterable[Problem]:
        """Compile the routes."""
        reading = read_text(case.text, "routes.yaml")
        invalid = (has_errors(reading.all_problems), bool(reading.refused))
        self.assertEqual(invalid, (case.group == "refused",) * 2, reading.all_problems)
        proxy = replace(PROXY, extended=True) if case.group == "extended" else PROXY
        resources, _ = latest(reading.resources)
        compilation = compile_table(resources, proxy, refused=reading.refused)
        problems = [each for each in compilation.problems if each.code == case.code]
        self.assertLessEqual({problem.phase for problem in problems}, {Phase.ANALYSIS})
        return problems


class CompletenessTests(SynchronousTestCase):
    """Every code has a text, and every text a test."""

    def test_each_code_of_a_rule_has_a_text(self) -> None:
        """A new rule of validation or analysis comes with a case."""
        rules = {code for code in CODES if code.startswith(("MG1", "MG2"))}
        self.assertEqual(rules - {case.code for case in all_cases()}, OF_OTHER_TESTS)

    def test_each_group_has_its_tests(self) -> None:
        """A new group comes with tests that judge it."""
        self.assertEqual({case.group for case in all_cases()}, {*READ, *COMPILED, *LOADED, *WHOLE_FILES})

    def test_the_key_of_another_certificate(self) -> None:
        """The text for a Secret whose certificate and key do not belong together shows neither."""
        problems = compiled(terminating("cert"), key_pair("cert", own_key=False)).problems
        (problem,) = (each for each in problems if each.code == "MG2073")
        self.assertEqual(
            str(problem).partition(": ")[2],
            "error[MG2073]: Gateway default/gw: spec.servers[0].tls.credentialName: the Secret istio-system/cert "
            "(routes.yaml:3:1) cannot be used: its key is that of another certificate (store a certificate and its "
            "own key)",
        )
