"""What is wrong is told in the same words by ``meshgate check``, the log of a gateway and its status."""

from __future__ import annotations

import json

from twisted.trial.unittest import TestCase

from tests.cli.command_runs import BROKEN, UNROUTED, file_text
from tests.configurations import tcp_rule, tls_rule, virtual_service
from tests.installation import Installation, run_meshgate
from tests.support import once_more

FAULTY = (
    BROKEN,
    UNROUTED,
    virtual_service("astray", gateways=["nowhere"], tls=[tls_rule(["www.example.com"], "unknown")]),
    virtual_service("refused", tcp=[tcp_rule("unknown", match=[{"port": 70000}])]),
)
"""Faults of resources, and of what they have to do with each other."""


class SameMessagesTests(TestCase):
    """A real gateway, and a real command line on its routes."""

    timeout = 120

    async def test_check_log_and_status(self) -> None:
        """Every problem of one is a problem of the others, with its code, place and hint; so is what became of each."""

        async def start() -> Installation:
            installation = Installation(self)
            (installation.routes / "99-faulty.yaml").write_text(file_text(*FAULTY))
            await installation.start()
            return installation

        installation = await once_more(start)
        text = run_meshgate(["check", "--config", installation.settings]).stdout.decode()
        told = [line for line in text.splitlines() if "99-faulty.yaml:" in line]
        self.assertGreaterEqual(len(told), 4, text)
        for line in told:
            self.assertIn(line, installation.process.stderr)
        as_json = json.loads(run_meshgate(["check", "--format", "json", "--config", installation.settings]).stdout)
        status = installation.status()
        problems = [{**one, "provider": ""} for one in status["problems"]]
        self.assertEqual(
            sorted(problems, key=str), sorted(({**one, "provider": ""} for one in as_json["problems"]), key=str)
        )
        statuses = {one["name"]: one for one in status["resources"]}
        self.assertFalse(statuses["refused"]["accepted"])
        self.assertFalse(statuses["astray"]["programmed"])
