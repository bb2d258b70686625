"""Tests of :mod:`meshgate.routing.compile.common_causes`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem, Severity
from meshgate.routing.compile.common_causes import one_for_each_cause

INFO, WARNING = Severity.INFO, Severity.WARNING


def shown(*problems: Problem) -> list[str]:
    """The messages that are left."""
    return [problem.message for problem in one_for_each_cause(problems)]


class CauseTests(SynchronousTestCase):
    """Problems with a common cause."""

    def test_missing_endpoints(self) -> None:
        """Warnings with one text are one; infos, for which Pods of the input are the reason, are one for each file."""
        a, b = (Problem(WARNING, "MG2022", text, file="f") for text in ("a has none", "b has none"))
        again = Problem(WARNING, "MG2022", "a has none", file="g")
        self.assertEqual(shown(a, b, again), ["a has none; 1 more destination has the same problem", "b has none"])
        of_files = (("f", "a"), ("f", "b"), ("f", "c"), ("g", "d"))
        infos = [Problem(INFO, "MG2022", text, file=file) for file, text in of_files]
        self.assertEqual(shown(*infos), ["a; 2 more destinations have the same problem", "d"])
        self.assertEqual(len(shown(infos[0], a)), 2)

    def test_unknown_hosts(self) -> None:
        """Infos of one host that was not read are one; errors are mended one by one."""
        for severity, count in ((INFO, 1), (Severity.ERROR, 2)):
            problems = [Problem(severity, "MG2020", "x is unknown", line=line) for line in (1, 2)]
            self.assertEqual(len(shown(*problems)), count)

    def test_other_problems(self) -> None:
        """Problems of other codes stay, even where their texts are the same, and keep their order."""
        problems = [Problem(WARNING, code, "x", line=line) for line, code in enumerate(["MG2001", "MG2042", "MG2001"])]
        self.assertEqual(one_for_each_cause(problems), tuple(problems))
        port = problems[1]
        self.assertEqual(shown(port, problems[0], port), ["x; 1 more server has the same problem", "x"])

    def test_a_port_that_is_not_named(self) -> None:
        """That a destination names no port is left out where the port that counts does not exist."""
        unnamed, missing = (Problem(WARNING, code, code, path="spec.tcp[0]") for code in ("MG2047", "MG2021"))
        elsewhere = Problem(WARNING, "MG2047", "elsewhere", path="spec.tcp[1]")
        self.assertEqual(shown(unnamed, missing, elsewhere), ["MG2021", "elsewhere"])

    def test_rules_of_another_kind(self) -> None:
        """A server without fitting rules stands for rules that no other server takes either, and for no others."""
        server = Problem(WARNING, "MG2008", "server", causes=("v at a", "w at a"))
        rule, also = (Problem(WARNING, "MG2052", text, causes=(f"{text} at a",)) for text in ("v", "x"))
        of_two = Problem(WARNING, "MG2052", "two", causes=("v at a", "v at b"))
        port = Problem(WARNING, "MG2052", "port")
        self.assertEqual(shown(server, rule, also, of_two, port), ["server", "x", "two", "port"])
        self.assertEqual(shown(rule), ["v"])
