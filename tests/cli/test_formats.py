"""Tests of :mod:`meshgate.cli.formats`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.cli.formats import sarif_log, workflow_command
from meshgate.resources.codes import CODES, help_uri
from meshgate.resources.problem import Problem, Severity
from tests import examples

TEXTS = st.text(st.sampled_from("a:,%\r\n é"), max_size=8)
PROBLEMS = st.builds(
    Problem,
    st.sampled_from(Severity),
    st.sampled_from(["MG0001", "MG1004", "MG9999"]),
    TEXTS.filter(bool),
    file=st.sampled_from(["", "a b/ü%,.yaml", "/tmp/x:y.yaml", "<stdin>"]),
    line=st.integers(0, 2),
    column=st.integers(0, 2),
    path=TEXTS,
    hint=TEXTS,
    kind=st.sampled_from(["", "Gateway"]),
    name=st.just("gw"),
)


def parsed(command: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as the runner takes it apart (actions/runner, ActionCommand)."""
    match = re.fullmatch(r"::(\w+) ([^\r\n]*?)::([^\r\n]*)", command)
    assert match is not None, command
    pairs = (pair.partition("=") for pair in match[2].split(","))
    properties = {name: unescaped(value).replace("%2C", ",") for name, _, value in pairs}
    return match[1], properties, unescaped(match[3])


def unescaped(text: str) -> str:
    """Unescape a text as the runner does, the percent sign last."""
    for character, escape in (("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C"), ("%", "%25")):
        text = text.replace(escape, character)
    return text


class WorkflowCommandTests(SynchronousTestCase):
    """Problems as workflow commands."""

    def test_whole(self) -> None:
        """Colons and commas of properties are escaped, those of the message are not."""
        problem = Problem(
            Severity.ERROR,
            "MG1004",
            "50% is, well, wrong:\nno",
            file="a,b:c.yaml",
            line=3,
            column=7,
            path="spec.x",
            hint="write 1",
            kind="Gateway",
            namespace="ns",
            name="gw",
        )
        self.assertEqual(
            workflow_command(problem),
            "::error file=a%2Cb%3Ac.yaml,line=3,col=7,title=MG1004%3A A value is not one of the choices"
            "::Gateway ns/gw: spec.x: 50%25 is, well, wrong:%0Ano (write 1)%0A" + help_uri("MG1004"),
        )

    def test_severities(self) -> None:
        """An information is a notice."""
        kinds = [parsed(workflow_command(Problem(severity, "MG0001", "x")))[0] for severity in Severity]
        self.assertEqual(kinds, ["error", "warning", "notice"])

    @given(PROBLEMS)
    @settings(deadline=None, max_examples=examples(200))
    def test_nothing_breaks_out(self, problem: Problem) -> None:
        """Whatever a problem contains, the runner gets one command with a location and a message."""
        _, properties, message = parsed(workflow_command(problem))
        self.assertLessEqual(properties.keys(), {"file", "line", "col", "title"})
        self.assertEqual(properties.get("file", ""), "" if problem.file == "<stdin>" else problem.file)
        self.assertIn(problem.message, message)


class SarifTests(SynchronousTestCase):
    """Problems as a SARIF log."""

    def verify(self, log: dict[str, Any]) -> None:
        """Check a log against the standard, as far as it is used."""
        self.assertEqual(log["version"], "2.1.0")
        self.assertTrue(log["$schema"].endswith("sarif-schema-2.1.0.json"))
        (run,) = log["runs"]
        driver = run["tool"]["driver"]
        self.assertEqual(driver["name"], "meshgate")
        rules = driver["rules"]
        self.assertEqual(len({rule["id"] for rule in rules}), len(rules))
        for rule in rules:
            self.assertTrue(rule["shortDescription"]["text"])
            self.assertEqual(rule["helpUri"], help_uri(rule["id"]))
        for result in run["results"]:
            self.assertIn(result["level"], {"error", "warning", "note"})
            self.assertTrue(result["message"]["text"])
            if "ruleIndex" in result:
                self.assertEqual(rules[result["ruleIndex"]]["id"], result["ruleId"])
            for location in result.get("locations", ()):
                self.verify_location(location)

    def verify_location(self, location: dict[str, Any]) -> None:
        """A location is not empty, its URI is valid, and lines and columns count from 1."""
        self.assertTrue(location)
        physical = location.get("physicalLocation")
        if physical is not None:
            self.assertRegex(physical["artifactLocation"]["uri"], r"^[A-Za-z0-9%/._~:-]+$")
            region = physical.get("region", {"startLine": 1})
            self.assertGreaterEqual(region["startLine"], 1)
            self.assertGreaterEqual(region.get("startColumn", 1), 1)
        for logical in location.get("logicalLocations", ()):
            self.assertTrue(logical["fullyQualifiedName"])

    def test_whole(self) -> None:
        """A problem with everything has level, rule, text, location and resource."""
        problem = Problem(
            Severity.WARNING,
            "MG1007",
            "is odd",
            file="a b.yaml",
            line=3,
            column=7,
            path="spec.x",
            kind="Gateway",
            name="g",
        )
        log = sarif_log([problem])
        self.verify(log)
        (result,) = log["runs"][0]["results"]
        self.assertEqual(
            result,
            {
                "ruleId": "MG1007",
                "ruleIndex": sorted(CODES).index("MG1007"),
                "level": "warning",
                "message": {"text": "Gateway g: spec.x: is odd"},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": {"uri": "a%20b.yaml"},
                            "region": {"startLine": 3, "startColumn": 7},
                        },
                        "logicalLocations": [{"fullyQualifiedName": "Gateway g spec.x"}],
                    }
                ],
            },
        )

    @given(st.lists(PROBLEMS, max_size=3))
    @settings(deadline=None, max_examples=examples(200))
    def test_any_problems(self, problems: list[Problem]) -> None:
        """Whatever the problems, the log is one, and the files' names come back from their URIs."""
        log = sarif_log(problems)
        self.verify(log)
        results = log["runs"][0]["results"]
        self.assertEqual([result["ruleId"] for result in results], [problem.code for problem in problems])
        for problem, result in zip(problems, results, strict=True):
            for location in result.get("locations", ()):
                if "physicalLocation" in location:
                    uri = urlsplit(location["physicalLocation"]["artifactLocation"]["uri"])
                    self.assertEqual(unquote(uri.path), problem.file)
                    self.assertEqual(uri.scheme, "file" if problem.file.startswith("/") else "")
