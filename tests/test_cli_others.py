"""Tests of the commands about anything else than routes: explain-field, sniff, status and init."""

from __future__ import annotations

import json
from typing import Any

from tests.cli_runs import CommandTestCase
from tests.hello_builder import build_hello

STATUS = {
    "generation": 3,
    "live_generation": 2,
    "workers": [
        {"worker": 1, "pid": 8, "connections": 20, "restarts": 0},
        {"worker": 2, "pid": None, "connections": 0, "restarts": 4},
    ],
    "running": True,
    "version": "1",
    "pid": 7,
    "updated": "now",
    "started": "then",
    "listeners": [{"bind": "0.0.0.0", "port": 1, "protocol": "TCP", "state": "failed", "reason": "it is taken"}],
    "routes": [],
    "endpoints": {},
    "problems": [],
}


def resource(name: str, states: str, *reasons: str, kind: str = "VirtualService") -> dict[str, Any]:
    """A resource as the status has it; its state in letters: accepted, programmed, conflicted."""
    found = {word: word[0] in states for word in ("accepted", "programmed", "conflicted")}
    return {"kind": kind, "namespace": "default", "name": name, **found, "reasons": list(reasons)}


RESOURCES = [
    resource("a", "ap", kind="Gateway"),
    resource("b", "", "MG1004: what it says", "MG1004: what it says of another field"),
    resource("c", "ac", "MG2009: that it loses", "MG9999: what a later version says"),
    resource("d", "a"),
]


class ExplainFieldTests(CommandTestCase):
    """``meshgate explain-field``."""

    def test_kinds(self) -> None:
        """Without a field, the kinds are listed."""
        self.assertIn("VirtualService", self.run_command("explain-field").stdout)
        self.assertIn("Gateway", [kind["kind"] for kind in self.run_json("explain-field")])

    def test_leaf(self) -> None:
        """A leaf is told with its type, default and meaning."""
        title, kind, meaning = self.run_command("explain-field", "Gateway.spec.servers.tls.mode").stdout.splitlines()
        self.assertEqual(title, "Gateway.spec.servers.tls.mode")
        self.assertRegex(kind, "^  one of PASSTHROUGH, SIMPLE, .*; default PASSTHROUGH$")
        self.assertTrue(meaning.strip())

    def test_branch(self) -> None:
        """A branch lists what is below."""
        text = self.run_command("explain-field", "Gateway.spec.servers").stdout
        self.assertRegex(text, r"(?m)^FIELD +TYPE +DEFAULT +MEANING$")
        self.assertRegex(text, r"(?m)^hosts +list of texts, at least one +required ")

    def test_json(self) -> None:
        """Programs get the same."""
        found = self.run_json("explain-field", "gateway.spec.servers[0].port")
        self.assertEqual((found["path"], found["required"]), ("Gateway.spec.servers.port", True))

    def test_unknown_field(self) -> None:
        """The nearest is named."""
        result = self.run_command("explain-field", "Gateway.spec.serves", exit_code=2)
        self.assertIn("Gateway.spec has no field serves; did you mean Gateway.spec.servers?", result.stderr)


class SniffTests(CommandTestCase):
    """``meshgate sniff``."""

    def test_files_and_standard_input(self) -> None:
        """Each file is told on a line of its own."""
        hello = build_hello(sni="www.example.com")
        self.write("hello", hello)
        self.write("plain", b"GET / HTTP/1.1\r\n\r\n")
        first, second = self.run_command("sniff", "hello", "plain").stdout.splitlines()
        self.assertIn("hello: ok: server name www.example.com", first)
        self.assertIn("plain: not_tls", second)
        self.assertIn("-: ok: server name", self.run_command("sniff", "-", stdin=hello).stdout)

    def test_json(self) -> None:
        """Programs get the same."""
        self.write("hello", build_hello(sni="www.example.com"))
        (found,) = self.run_json("sniff", "hello")
        self.assertEqual((found["verdict"], found["sni"]), ("ok", "www.example.com"))

    def test_wrong_calls(self) -> None:
        """A file that is not there, a folder, and no file at all are refused."""
        self.assertIn("nowhere: No such file", self.run_command("sniff", "nowhere", exit_code=2).stderr)
        self.assertIn("routes: Is a directory", self.run_command("sniff", "routes", exit_code=2).stderr)
        self.run_command("sniff", exit_code=2)


class StatusTests(CommandTestCase):
    """``meshgate status``."""

    def setUp(self) -> None:
        """Write settings."""
        super().setUp()
        self.write("etc/meshgate.yaml", "providers: [{name: files, type: directory, paths: [../routes]}]\n")

    def test_text_and_json(self) -> None:
        """What the gateway wrote last is shown; the settings are found where they lie by default."""
        self.write("etc/state/status.json", json.dumps(STATUS))
        text = self.run_command("status").stdout
        self.assertIn("meshgate 1, process 7, running", text)
        self.assertIn("generation 2 is the last that all workers serve", text)
        self.assertIn("worker 1: process 8, 20 connections, replaced 0 times", text)
        self.assertIn("worker 2: no process, 0 connections, replaced 4 times", text)
        self.assertIn("port 0.0.0.0:1 TCP failed: it is taken", text)
        self.assertEqual(self.run_json("status"), STATUS)

    def test_resources(self) -> None:
        """Those with a problem come alone, with what they are and why; the others are counted, or come after them."""
        self.write("etc/state/status.json", json.dumps({**STATUS, "resources": RESOURCES}))
        text = self.run_command("status").stdout
        rows = [line.split(maxsplit=5) for line in text.splitlines() if "default/" in line]
        self.assertEqual(
            rows,
            [
                ["VirtualService", "default/b", "no", "no", "no", "MG1004: A value is not one of the choices"],
                ["VirtualService", "default/c", "yes", "no", "yes", "MG2009: A rule never gets a connection, MG9999"],
            ],
        )
        self.assertRegex(text, r"(?m)^KIND +NAME +ACCEPTED +PROGRAMMED +CONFLICTED +REASONS$")
        self.assertIn("2 of 4 resources have a problem; --all shows the others, too", text)
        names = [
            line.split()[1] for line in self.run_command("status", "--all").stdout.splitlines() if "default/" in line
        ]
        self.assertEqual(names, ["default/b", "default/c", "default/a", "default/d"])

    def test_resources_without_a_problem(self) -> None:
        """One line is enough."""
        self.write("etc/state/status.json", json.dumps({**STATUS, "resources": RESOURCES[:1]}))
        text = self.run_command("status").stdout
        self.assertIn("1 resource, none with a problem", text)
        self.assertNotIn("ACCEPTED", text)

    def test_nothing_to_show(self) -> None:
        """A gateway that never ran, and a file that is no status, are said."""
        self.assertIn("no gateway has run", self.run_command("status", exit_code=1).stderr)
        for content in ("[]", "{", "{}"):
            self.write("etc/state/status.json", content)
            self.assertTrue(self.run_command("status", exit_code=1).stderr.startswith("Error: "))

    def test_no_settings(self) -> None:
        """Settings that are not there are the caller's mistake."""
        self.assertIn("nowhere", self.run_command("status", "--config", "nowhere", exit_code=2).stderr)


class InitTests(CommandTestCase):
    """``meshgate init``."""

    def test_it_writes_an_installation_that_is_fine(self) -> None:
        """What it writes is listed, and nothing is wrong with it."""
        written_files = self.run_command("init", "lab").stdout
        self.assertIn("lab/meshgate.yaml\n", written_files)
        self.assertIn("no problems", self.run_command("check", "--config", "lab/meshgate.yaml").stdout)

    def test_it_overwrites_nothing(self) -> None:
        """Where files are, it writes none."""
        self.run_command("init", "lab")
        self.assertIn("would be overwritten", self.run_command("init", "lab", exit_code=1).stderr)
        self.run_command("init", "routes/shop.yaml", exit_code=2)
