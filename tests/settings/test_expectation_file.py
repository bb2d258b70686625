"""Tests of :mod:`meshgate.settings.expectation_file`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.routing.tell.expectation import Target
from meshgate.routing.tell.explain import Call
from meshgate.settings.expectation_file import Expectations, ExpectationsError, load_expectations
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

BROKEN = {
    "a list": ("- a\n", ["1:1: error[MG0201]: the file of expectations must be a mapping, not a list"]),
    "nothing": ("", ["error[MG0201]: the file of expectations is empty (write at least one expectation under expect)"]),
    "no YAML": ("a: [\n", ["2:1: error[MG0001]"]),
    "no expectation": (
        "routes: [a]\nexpect: []\n",
        ["2:9: error[MG0204]: expect: the list needs at least one entry"],
    ),
    "misspelled keys": (
        "route: [a]\ngateway: {lables: {a: b}}\nexpect: [{port: 1, close: true}]\n",
        [
            "1:1: error[MG0202]: route: unknown key route (did you mean routes?)",
            "2:11: error[MG0202]: gateway.lables: unknown key lables (did you mean labels?)",
            "3:10: error[MG0203]: expect[0]: nothing is expected of the connection to port 1",
            "3:20: error[MG0202]: expect[0].close: unknown key close (did you mean closed?)",
        ],
    ),
    "no port": (
        "expect: [{closed: true}]\n",
        ["1:10: error[MG0203]: expect[0].port: the required field port is missing"],
    ),
    "wrong values": (
        "expect:\n- port: 70000\n  destination: a:0\n  bind: here\n- port: 1\n  destination: {a: 0}\n",
        [
            "2:9: error[MG0204]: expect[0].port",
            '3:16: error[MG0204]: expect[0].destination: must be a destination, not the text "a:0" (write it as',
            "4:9: error[MG0204]: expect[0].bind: must be an IP address",
            "6:16: error[MG0204]: expect[1].destination: the weight 0 is out of range",
        ],
    ),
    "no destination": (
        "expect: [{port: 1, destination: []}]\n",
        ["1:33: error[MG0204]: expect[0].destination: a list"],
    ),
    "two ends": (
        "expect: [{port: 1, closed: true, destination: a}]\n",
        ["1:20: error[MG0204]: expect[0].closed: closed excludes destination: a connection has one end"],
    ),
    "plain text with a name": (
        "expect: [{port: 1, plain: true, sni: a, closed: true}]\n",
        ["1:33: error[MG0204]: expect[0].sni: plain text carries no server name"],
    ),
    "a source": (
        "expect: [{port: 1, source: 10.0.0.1, closed: true}]\n",
        ["1:20: error[MG0204]: expect[0].source: the address decides nothing here"],
    ),
}
"""What is wrong, and how each problem begins after the file's name."""


class LoadTests(SynchronousTestCase):
    """:func:`load_expectations`."""

    def setUp(self) -> None:
        """Choose a file."""
        self.file = new_folder(self) / "expectations.yaml"

    def load(self, text: str) -> Expectations:
        """What the text says."""
        self.file.write_text(text)
        return load_expectations(self.file)

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

    def test_broken_files(self) -> None:
        """Every problem is said at once, with its place."""
        for what, (text, expected) in BROKEN.items():
            with self.subTest(what):
                error = self.assertRaises(ExpectationsError, self.load, text)
                lines = [line.removeprefix(f"{self.file}:").strip() for line in str(error).splitlines()]
                begun = [line[: len(start)] for line, start in zip(lines, expected, strict=True)]
                self.assertEqual(begun, expected)
                self.assertLessEqual({problem.code for problem in error.problems}, CODES.keys())

    def test_a_file_that_is_not_there(self) -> None:
        """No file is a problem like any other."""
        error = self.assertRaises(ExpectationsError, load_expectations, self.file)
        self.assertIn("there is no such file of expectations", str(error))

    def test_ambiguous_words_are_warnings(self) -> None:
        """A word that YAML 1.2 reads otherwise is said, and the file is used."""
        (warning,) = self.load("expect: [{port: 1, closed: yes}]\n").warnings
        self.assertEqual((warning.code, warning.line), ("MG0002", 1))
