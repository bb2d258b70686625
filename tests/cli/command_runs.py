"""Runs of the command line within the test's own process, in a folder of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from meshgate.cli import main
from tests.configurations import (
    Document,
    gateway,
    service,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)
from tests.support import new_folder

SHOP = (
    gateway("gw", tls_server(443), tcp_server(31400)),
    virtual_service("web", tls=[tls_rule(["www.example.com"], "x")]),
    virtual_service("db", tcp=[tcp_rule("x", match=[{"port": 31400}])]),
    service("x", {"port": 80, "name": "tcp"}, selector={"app": "x"}),
    workload("x1", "127.0.0.1", {"app": "x"}),
)
"""A configuration without problems: a name on port 443, and port 31400."""

MOVED = (
    SHOP[0],
    virtual_service("web", tls=[tls_rule(["www.example.com"], "y")]),
    *SHOP[2:],
    service("y", {"port": 80}, selector={"app": "x"}),
)
"""The same, with another destination for the name."""

UNROUTED = gateway("lonely", tls_server(8443))
"""A Gateway with a warning: nothing is routed from its port."""

ROUTED = ("--port", "443", "--sni", "www.example.com")
"""Options for a connection by name in that configuration."""

BROKEN = {**SHOP[0], "spec": {"servers": []}}
"""A Gateway with an error."""


def file_text(*documents: Document) -> str:
    """Return documents as the text of one file."""
    return "\n---\n".join(json.dumps(one) for one in documents)


class CommandTestCase(SynchronousTestCase):
    """
    A test in a folder with routes.

    :ivar folder: the current one, while the test runs.
    """

    def setUp(self) -> None:
        """Go to a new folder with ``routes/shop.yaml``."""
        self.folder = new_folder(self)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)
        self.write("routes/shop.yaml", file_text(*SHOP))

    def write(self, name: str, text: str | bytes) -> None:
        """Write a file below the folder."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def run_command(self, *arguments: str, stdin: str | bytes = "", exit_code: int = 0) -> Result:
        """
        Run a command, which has to end with the exit code, and never with a traceback.

        :param stdin: the bytes or text of standard input.
        """
        result = CliRunner().invoke(main, list(arguments), input=stdin, prog_name="meshgate")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.assertEqual(result.exit_code, exit_code, result.output)
        return result

    def run_json(self, *arguments: str, exit_code: int = 0, stdin: str = "") -> Any:
        """Run a command with JSON output, and return the document."""
        return json.loads(self.run_command(*arguments, "--format", "json", exit_code=exit_code, stdin=stdin).stdout)
