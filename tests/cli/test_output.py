"""Tests of :mod:`meshgate.cli.output`, and of what commands write to a real terminal."""

from __future__ import annotations

import io
import os

import click
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.cli.output import Progress
from tests.cli.command_runs import SHOP, CommandTestCase, file_text
from tests.cli.terminal import run_in_terminal
from tests.configurations import gateway, tls_rule, tls_server, virtual_service

PATIENCE, PERIOD = Progress.PATIENCE, Progress.PERIOD


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


class ProgressTests(SynchronousTestCase):
    """:class:`Progress`."""

    def setUp(self) -> None:
        """Begin on a terminal that is not dumb."""
        self.patch(os, "environ", {"TERM": "xterm", "COLUMNS": "10"})
        self.clock = Clock()
        self.stream = Terminal()

    def test_it_waits(self) -> None:
        """A short command shows nothing, and erases nothing."""
        with Progress(self.stream, self.clock.seconds) as progress:
            progress.show("a")
            self.clock.advance(PATIENCE - 0.01)
            progress.show("b")
        self.assertEqual(self.stream.getvalue(), "")

    def test_it_replaces_its_line(self) -> None:
        """The line is replaced now and then, is cut to the width, and is gone at the end."""
        with Progress(self.stream, self.clock.seconds) as progress:
            self.clock.advance(PATIENCE)
            progress.show("some 1")
            progress.show("some 2")
            self.clock.advance(PERIOD)
            progress.show("a long text")
        self.assertEqual(self.stream.getvalue(), "\r\x1b[Ksome 1\r\x1b[Ka long te\r\x1b[K")

    def test_neither_files_nor_dumb_terminals(self) -> None:
        """A line is replaced on terminals that can do so."""
        for stream, terminal in ((io.StringIO(), "xterm"), (Terminal(), "dumb")):
            os.environ["TERM"] = terminal
            with Progress(stream, self.clock.seconds) as progress:
                self.clock.advance(PATIENCE)
                progress.show("a")
            self.assertEqual(stream.getvalue(), "")


class TerminalTests(CommandTestCase):
    """Real processes on a real terminal."""

    def test_tables_keep_words_whole(self) -> None:
        """On 80 columns, no line is longer, and names stay in one piece."""
        name = "a-rather-long-name-of-a-service.example.com"
        self.write("long.yaml", file_text(*SHOP, virtual_service("long", tls=[tls_rule([name], "x")])))
        for arguments in (["routes", "long.yaml"], ["explain-field", "Gateway.spec.servers"], ["explain-field"]):
            status, text = run_in_terminal(arguments, self.folder)
            self.assertEqual(status, 0, text)
            self.assertEqual([line for line in text.splitlines() if len(click.unstyle(line)) > 80], [])
            if arguments[0] == "routes":
                for word in (name, "x.default.svc.cluster.local:80", "127.0.0.1:80", "VIRTUAL SERVICE"):
                    self.assertIn(word, text)
        wide = run_in_terminal(["routes", "long.yaml"], self.folder, columns=200)[1]
        self.assertRegex(wide, r"(?m)^\[::\]:443 +TLS +a-rather-long-name\S+ +default/gw +default/long ")

    def test_colors(self) -> None:
        """A terminal gets colors, unless NO_COLOR is set or an option says otherwise."""
        command = ["routes", "routes"]
        for environment, arguments, colored in (
            ({}, command, True),
            ({"NO_COLOR": ""}, command, True),
            ({"NO_COLOR": "1"}, command, False),
            ({"NO_COLOR": "1"}, [*command, "--color", "auto"], False),
            ({"NO_COLOR": "1"}, [*command, "--color", "always"], True),
            ({}, [*command, "--color", "never"], False),
        ):
            text = run_in_terminal(arguments, self.folder, environment=environment)[1]
            self.assertEqual("\x1b[" in text, colored, (environment, arguments, text))

    def test_progress(self) -> None:
        """A command that takes longer than a second says what it does, and erases that before its answer."""
        rules = (virtual_service(f"v{n}", tls=[tls_rule([f"n{n}.example.com"], "x")]) for n in range(8000))
        self.write("many.yaml", file_text(gateway("gw", tls_server(443)), *rules, *SHOP[3:]))
        status, text = run_in_terminal(["check", "many.yaml"], self.folder)
        self.assertEqual(status, 0, text)
        lines = text.split("\r\x1b[K")
        self.assertRegex(lines[1], r"^(reading: \d+ documents|compiling: 8003 resources)$")
        self.assertEqual(lines[-1], "no problems in 8003 resources\n")
