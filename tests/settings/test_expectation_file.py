"""Tests of :mod:`meshgate.settings.expectation_file`."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.routing.tell.explain import Call, Target
from meshgate.settings.expectation_file import Expectations, ExpectationsError, load_expectations
from tests.golden import Golden, GoldenTestCase
from tests.support import new_folder

WHOLE = """\
routes: [routes/, more.yaml]
gateway: {labels: {istio: edge}, namespace: edge}
default_namespace: shop
domain_suffix: example.local
expect:
- name: by name
  port: 443
  bind: 127.0.0.1
  sni: www.example.com
  virtual_service: shop/web
  gateway: shop/edge
  destination: {"Web.shop:80": 9, "web-2:80 (subset v2)": 1}
- {port: 9000, plain: true, destination: [a, b]}
- {port: 9000, closed: true}
- {port: 9001, no_listener: true}
"""


class ExpectationsTestCase(SynchronousTestCase):
    """A file of expectations in a folder of its own."""

    def setUp(self) -> None:
        """Choose a file."""
        self.file = new_folder(self) / "expectations.yaml"

    def load(self, text: str) -> Expectations:
        """Load the expectations of a text."""
        self.file.write_text(text)
        return load_expectations(self.file)


class GoldenTests(ExpectationsTestCase, GoldenTestCase, groups=["expectations"]):
    """Every problem of a file at once, in the order of the file."""

    def judge(self, case: Golden) -> Iterable[str]:
        """Load the expectations."""
        problems = self.assertRaises(ExpectationsError, self.load, case.text).problems
        self.assertLessEqual({problem.code for problem in problems}, CODES.keys())
        return [str(each).replace(str(self.file), "expectations.yaml") for each in problems]


class LoadTests(ExpectationsTestCase):
    """Loading files without problems, and files that are not there."""

    def test_whole_file(self) -> None:
        """Everything that may stand in the file is read, and routes are relative to it."""
        found = self.load(WHOLE)
        folder = self.file.parent
        self.assertEqual(found.routes, (str(folder / "routes"), str(folder / "more.yaml")))
        self.assertEqual(dict(found.labels or {}), {"istio": "edge"})
        told = found.namespace, found.default_namespace, found.domain_suffix
        self.assertEqual(told, ("edge", "shop", "example.local"))
        first, second, third, fourth = found.cases
        self.assertEqual((first.name, first.line), ("by name", 6))
        self.assertEqual(first.expectation.call, Call(443, "127.0.0.1", tls=True, sni="www.example.com"))
        self.assertEqual(
            first.expectation.destinations, (Target("web.shop", 80, weight=9), Target("web-2", 80, "v2", weight=1))
        )
        self.assertEqual(second.expectation.call, Call(9000, tls=False))
        self.assertEqual(second.expectation.destinations, (Target("a"), Target("b")))
        self.assertEqual([one.expectation.result for one in found.cases], ["routed"] * 2 + ["closed", "no_listener"])
        self.assertEqual((third.line, fourth.line), (14, 15))

    def test_what_is_left_out_stays_open(self) -> None:
        """Nothing is filled in, since the command line and the settings may."""
        found = self.load("expect: [{port: 1, closed: true}]\n")
        told = found.routes, found.labels, found.namespace, found.default_namespace, found.domain_suffix
        self.assertEqual(told, ((), None, "", "", None))

    def test_a_file_that_is_not_there(self) -> None:
        """No file is a problem like any other."""
        error = self.assertRaises(ExpectationsError, load_expectations, self.file)
        self.assertIn("there is no such file of expectations", str(error))

    def test_ambiguous_words_are_warnings(self) -> None:
        """A word that YAML 1.2 reads otherwise is said, and the file is used."""
        (warning,) = self.load("expect: [{port: 1, closed: yes}]\n").warnings
        self.assertEqual((warning.code, warning.line), ("MG0002", 1))
