"""Tests of the commands about anything else than routes: explain-field, sniff and status."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from meshgate.processes.pidfile import own_identity
from meshgate.resources.problem import Problem, Severity
from meshgate.state import status_text as status
from meshgate.state.folder import Holder, StateFolder
from tests.cli.command_runs import CommandTestCase
from tests.hello_builder import build_hello

STATUS = {
    "generation": 3,
    "running": True,
    "version": "1",
    "pid": 7,
    "updated": "now",
    "started": "then",
    "listeners": [
        {"bind": "0.0.0.0", "port": 1, "protocol": "TCP", "state": "failed", "reason": "it is taken"},
        {"bind": "0.0.0.0", "port": 2, "protocol": "TCP", "state": "open", "reason": ""},
    ],
    "routes": [],
    "endpoints": {},
    "problems": [],
}

FIGURES = {
    "counted": "now",
    "pid": 7,
    "started": "then",
    "generation": 3,
    "live_generation": 2,
    "connections": 20,
    "ended": {"no_route": 4, "ok": 70},
    "workers": [
        {"worker": 1, "pid": 8, "connections": 20, "restarts": 0},
        {"worker": 2, "pid": None, "connections": 0, "restarts": 4},
    ],
    "failing_endpoints": [
        {"destination": "x:80", "endpoint": "10.0.0.7:80", "state": "ejected", "until": "soon", "workers": 1},
        {"destination": "x:80", "endpoint": "10.0.0.8:80", "state": "tried_last", "until": "later", "workers": 1},
    ],
    "providers": [
        {"name": "files", "resources": 3, "published": "2026-01-01T00:00:00.000Z", "failing_since": None, "reason": ""},
        {"name": "own", "resources": 0, "published": None, "failing_since": "2026-01-01T00:00:00.000Z", "reason": "no"},
    ],
    "names": [
        {
            "name": "db.example.org",
            "addresses": ["10.0.0.1", "10.0.0.2"],
            "answered": "2026-01-01T00:00:00.000Z",
            "failing_since": "2026-01-01T00:00:00.000Z",
            "reason": "nobody answers",
        },
        *(
            {"name": f"{n}.org", "addresses": [], "answered": None, "failing_since": None, "reason": ""}
            for n in range(12)
        ),
    ],
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
        """A leaf is shown with its type, default and meaning."""
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
        """Each file has a line of its own."""
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
    """``meshgate status``: of a gateway that the test plays, by holding the state folder."""

    def setUp(self) -> None:
        """Write settings."""
        super().setUp()
        self.write("etc/meshgate.yaml", "providers: [{name: files, type: directory, paths: [../routes]}]\n")
        self.state = StateFolder()
        self.addCleanup(self.state.release)

    def play(self, status: Mapping[str, Any] | None = None, figures: Mapping[str, Any] | None = None) -> None:
        """A gateway runs, and has written this."""
        self.state.note(pid=7, started="then", version="1")
        self.state.hold(self.folder / "etc/state")
        self.tell(status, figures)

    def tell(self, status: Mapping[str, Any] | None, figures: Mapping[str, Any] | None = None) -> None:
        """Files of a gateway."""
        for name, content in (("status", status), ("figures", figures)):
            if content is not None:
                self.write(f"etc/state/{name}.json", json.dumps(content))

    def test_text_and_json(self) -> None:
        """The last status is shown; the settings file has a default path."""
        self.play(STATUS, FIGURES)
        text = self.run_command("status").stdout
        for line in (
            "meshgate 1, process 7, running",
            "generation 2 is the last that all workers serve",
            "20 connections; 74 have ended: 4 no_route, 70 ok",
            "worker 1: process 8, 20 connections, 0 restarts",
            "worker 2: no process, 0 connections, 4 restarts",
            "port 0.0.0.0:1 TCP failed: it is taken",
            "port 0.0.0.0:2 TCP open",
            "endpoint 10.0.0.7:80 of x:80 fails: it gets no connections from 1 worker until soon\n",
            "endpoint 10.0.0.8:80 of x:80 fails: it is tried last, and again at later\n",
            "provider files: 3 resources, published ",
            "provider own: has published nothing yet; has failed for ",
            "name db.example.org: 10.0.0.1, 10.0.0.2, resolved ",
            "; has failed to resolve for ",
            ": nobody answers\n",
            "name 0.org: is being resolved\n",
            "and 2 more names; --all shows them",
        ):
            self.assertIn(line, text)
        self.assertEqual(self.run_command("status", "--all").stdout.count("is being resolved"), 12)
        process = {"pid": 7, "started": "then", "version": "1"}
        self.assertEqual(self.run_json("status"), {**FIGURES, **STATUS, "running": True, "process": process})

    def test_figures_of_another_process(self) -> None:
        """Figures that another process has left, or that are broken, are not taken for those of this one."""
        others: list[Any] = [{**FIGURES, "started": "before"}, {**FIGURES, "pid": 8}, []]
        for figures in others:
            self.play(STATUS, figures)
            self.assertNotIn("connections", self.run_json("status"))
            self.assertIn("port 0.0.0.0:2 TCP open", self.run_command("status").stdout)

    def test_killed(self) -> None:
        """If nobody holds the folder, no port is open, whatever the files contain; the exit status is 3."""
        self.play(STATUS, FIGURES)
        self.state.release()
        text = self.run_command("status", exit_code=3).stdout
        self.assertIn("meshgate is not running: process 7, started then, was killed, or the machine stopped\n", text)
        self.assertIn("generation 3, of now; started then; the last status of process 7\n", text)
        self.assertIn("port 0.0.0.0:2 TCP closed\n", text)
        self.assertNotIn("open", text)
        self.assertNotIn("worker", text)
        found = self.run_json("status", exit_code=3)
        self.assertEqual(found["running"], False)
        self.assertEqual([each["state"] for each in found["listeners"]], ["failed", "closed"])

    def test_ended(self) -> None:
        """The end of the last process is shown, also if another process has written the status."""
        self.play(STATUS, FIGURES)
        self.state.note(end="ended in order", ended="at last")
        self.state.release()
        text = self.run_command("status", exit_code=3).stdout
        self.assertIn("not running: process 7, started then, ended in order at at last\n", text)
        self.state.note(pid=9, started="later", ended=None, end="could not start: port 1 is taken")
        self.state.hold(self.folder / "etc/state")
        self.state.release()
        text = self.run_command("status", exit_code=3).stdout
        self.assertIn("not running: process 9, started later, could not start: port 1 is taken\n", text)
        self.assertIn("the last status of process 7", text)

    def test_starting(self) -> None:
        """A gateway that has not written a status yet runs; the status of another one is not shown."""
        for left in (None, {**STATUS, "started": "before"}):
            self.play(left, FIGURES)
            text = self.run_command("status").stdout
            self.assertEqual(text, "meshgate 1, process 7, running\nthe gateway has not written its status yet\n")
            self.assertEqual(self.run_json("status")["running"], True)
        self.state.note(not_written="No space left on device")
        self.assertIn("is therefore old: No space left on device\n", self.run_command("status").stdout)

    def test_what_cannot_be_asked(self) -> None:
        """If the lock cannot be opened, the process decides."""
        own = own_identity()
        facts = {"pid": own.pid, "boot_id": own.boot_id, "process_start": own.start}
        (self.folder / "etc/state/meshgate.lock").mkdir(parents=True)
        self.patch(status, "holder", lambda folder: Holder(None, {}))
        self.tell({**STATUS, **facts})
        self.run_command("status")
        self.tell({**STATUS, **facts, "process_start": own.start + 1})
        self.run_command("status", exit_code=3)
        self.tell({**STATUS, **facts, "running": False})
        self.run_command("status", exit_code=3)

    def test_resources(self) -> None:
        """Those with a problem come alone, with what they are and why; the others are counted, or come after them."""
        self.play({**STATUS, "resources": RESOURCES, "counts": {"valid": 5, "invalid": 1}})
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
        self.assertIn("2 of 6 resources have a problem; --all shows the others as well", text)
        names = [
            line.split()[1] for line in self.run_command("status", "--all").stdout.splitlines() if "default/" in line
        ]
        self.assertEqual(names, ["default/b", "default/c", "default/a", "default/d"])

    def test_resources_without_a_problem(self) -> None:
        """One line is enough."""
        self.play({**STATUS, "resources": RESOURCES[:1]})
        text = self.run_command("status").stdout
        self.assertIn("1 resource, none with a problem\n", text)
        self.assertNotIn("ACCEPTED", text)

    def test_problems(self) -> None:
        """They are shown as the gateway has written them, with whatever a later version adds to them."""
        problem = Problem(Severity.ERROR, "MG1004", "it is wrong", file="a.yaml", line=3, column=5)
        self.play({**STATUS, "problems": [problem.as_json(), {**problem.as_json(), "line": 4, "since": "then"}]})
        text = self.run_command("status").stdout
        self.assertIn("a.yaml:3:5: error[MG1004]: it is wrong\n", text)
        self.assertIn("a.yaml:4:5: error[MG1004]: it is wrong\n", text)

    def test_nothing_to_show(self) -> None:
        """A gateway that never ran does not run; a file that is no status is an error."""
        self.assertIn("no gateway has ever run", self.run_command("status", exit_code=3).stdout)
        self.assertEqual(self.run_json("status", exit_code=3), {"running": False})
        for content in ("[]", "{", "{}"):
            self.write("etc/state/status.json", content)
            self.assertTrue(self.run_command("status", exit_code=1).stderr.startswith("Error: "))

    def test_no_settings(self) -> None:
        """Settings that are not there are the caller's mistake."""
        self.assertIn("nowhere", self.run_command("status", "--config", "nowhere", exit_code=2).stderr)
        (self.folder / "etc/meshgate.yaml").unlink()
        result = self.run_command("status", exit_code=2)
        self.assertIn("there is no meshgate.yaml and no etc/meshgate.yaml here", result.stderr)

    def test_settings_in_the_current_folder(self) -> None:
        """An installation's own folder is where its status is asked for; it comes before etc/."""
        self.play(STATUS, FIGURES)
        os.chdir("etc")
        self.assertIn("process 7, running", self.run_command("status").stdout)
        os.chdir("..")
        self.write("meshgate.yaml", "state_dir: elsewhere\n")
        result = self.run_command("status", exit_code=3)
        self.assertIn(f"no gateway has ever run with the state folder {self.folder}/elsewhere", result.stdout)

    def test_broken_settings(self) -> None:
        """A gateway runs on while its settings are edited, and its status can be seen."""
        self.play(STATUS, FIGURES)
        for text in ("providers: [{name: files, type: nonsense}]\nstat: x\n", "state_dir: state\nworkers: many\n"):
            self.write("etc/meshgate.yaml", text)
            self.assertIn("process 7, running", self.run_command("status").stdout)
        self.write("etc/meshgate.yaml", "providers: [\n")
        result = self.run_command("status")
        self.assertIn("process 7, running", result.stdout)
        self.assertIn("etc/meshgate.yaml:2:1: error[MG0001]", result.stderr)

    def test_state_folder(self) -> None:
        """The state folder is enough; no settings are needed."""
        self.play(STATUS, FIGURES)
        (self.folder / "etc/meshgate.yaml").unlink()
        self.assertIn("process 7, running", self.run_command("status", "--state-dir", "etc/state").stdout)
        self.assertEqual(self.run_json("status", "--state-dir", "nowhere", exit_code=3), {"running": False})
        self.write("x.yaml", "")
        result = self.run_command("status", "--state-dir", "etc/state", "--config", "x.yaml", exit_code=2)
        self.assertIn("exclude each other", result.stderr)
