"""Tests of what people read: one for each file of :mod:`tests.golden`, and one that needs a key of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.latest import latest
from meshgate.resources.problem import Phase, Problem, has_errors
from meshgate.resources.reader import Reading, read_text
from meshgate.routing.compile.compiler import compile_table
from tests.configurations import PROXY, compiled
from tests.golden import COMPILED, Golden, all_cases, fold
from tests.key_pairs import key_pair, terminating

CASES = list(all_cases())
REWRITE = os.environ.get("MESHGATE_GOLDEN") == "rewrite"
OF_OTHER_TESTS = {"MG2073"}


def analyzed(reading: Reading, group: str) -> list[Problem]:
    """The problems of compiling what was read."""
    proxy = replace(PROXY, extended=True) if group == "extended" else PROXY
    resources, _ = latest(reading.resources)
    return list(compile_table(resources, proxy, refused=reading.refused).problems)


class GoldenTests(SynchronousTestCase):
    """One test for each file, made below."""

    maxDiff = None

    def judge(self, case: Golden) -> None:
        """The file's problems with its code, and no others, are shown in these words."""
        reading = read_text(case.text, "routes.yaml")
        if case.group in COMPILED:
            invalid = (has_errors(reading.all_problems), bool(reading.refused))
            self.assertEqual(invalid, (case.group == "refused",) * 2, reading.all_problems)
            problems = [each for each in analyzed(reading, case.group) if each.code == case.code]
            self.assertEqual({problem.phase for problem in problems}, {Phase.ANALYSIS})
        else:
            problems = [each for each in reading.all_problems if each.code == case.code]
        shown = fold(problems)
        if REWRITE:
            case.rewrite(shown)
        else:
            self.assertEqual(shown, case.shown)


def _test(case: Golden) -> Callable[[GoldenTests], None]:
    def test(self: GoldenTests) -> None:
        self.judge(case)

    return test


for _case in CASES:
    setattr(GoldenTests, f"test_{_case.group}_{_case.name}", _test(_case))


class CodeTests(SynchronousTestCase):
    """Which codes have a text."""

    def test_each_code_of_a_rule_has_a_text(self) -> None:
        """A new rule of validation or analysis comes with a case."""
        rules = {code for code in CODES if code.startswith(("MG1", "MG2"))}
        self.assertEqual(rules - {case.code for case in CASES}, OF_OTHER_TESTS)

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
