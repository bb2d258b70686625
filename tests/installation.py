"""A default installation on ports of its own, run by a real twistd."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from meshgate.cli.init import write_installation
from meshgate.lab.certificates import CHAIN_FILE
from meshgate.state.status_text import read_status
from tests.support import IMPORT_ROOT, Program, TwistdProcess, free_port, new_folder, once_more, wait_for

ECHO, SNI = 31400, 31443
NAME_1, NAME_2 = "simple-sni-1.istioinaction.io", "simple-sni-2.istioinaction.io"


class Installation:
    """
    What ``meshgate init`` writes, with every port replaced by a free one.

    :param environment: variables for the process on top of the test's own.
    :ivar ports: the ports by those that the default installation has.
    :ivar activated: listening sockets to pass on to the process, by their names.
    """

    def __init__(self, test: TestCase, environment: Mapping[str, str] | None = None) -> None:
        self._test = test
        self._environment = environment
        self.folder = new_folder(test) / "installation"
        write_installation(self.folder)
        self.routes = self.folder / "routes"
        self.settings = self.folder / "meshgate.yaml"
        self.state = self.folder / "state"
        self.ports: dict[int, int] = {}
        self.activated: dict[str, socket.socket] = {}
        for file in [self.settings, *self.routes.iterdir()]:
            file.write_text(self.renumber(file.read_text()))
        self.edit_settings(time="0s")  # of the drain: tests that end wait for no connection
        self.process: Program

    @property
    def ca_chain(self) -> Path:
        """What clients are given to trust."""
        return self.state / "certificates" / CHAIN_FILE

    def renumber(self, text: str) -> str:
        """Text of the default installation with our ports."""

        def ours(match: re.Match[str]) -> str:
            number = int(match[2])
            return match[1] + str(self.ports.setdefault(number, free_port()))

        return re.sub(r"((?:port|number|targetPort|https?): *)(2701|15090|18\d{3}|314\d{2})\b", ours, text)

    def edit_settings(self, **values: str) -> None:
        """Replace the values of keys that the settings file has, wherever they stand."""
        text = self.settings.read_text()
        for key, value in values.items():
            text, changed = re.subn(rf"(?m)^( *)#? ?{key}: .*$", rf"\g<1>{key}: {value}", text, count=1)
            if not changed:
                raise AssertionError(f"no {key} in the settings")
        self.settings.write_text(text)

    async def start(self, *arguments: str) -> Program:
        """Run it until its ports are open."""
        self.process = TwistdProcess(
            self._test,
            ["meshgate", "--config", self.settings, *arguments],
            self.folder,
            self._environment,
            self.activated,
        )
        await self.process.wait_for_output("meshgate is up")
        return self.process

    def status(self) -> dict[str, Any]:
        """The status document, with the figures."""
        return read_status(self.state)

    def log(self) -> list[dict[str, Any]]:
        """The access log so far, from standard output, in JSON."""
        # What was read last may end within a line.
        return [json.loads(line) for line in self.process.stdout.splitlines(True) if line.endswith("\n")]

    async def logged(self, **facts: object) -> dict[str, Any]:
        """
        Wait for a line of the access log with these facts.

        :raises AssertionError: when it does not come; tells what there is instead.
        """

        def find() -> list[dict[str, Any]]:
            return [line for line in self.log() if facts.items() <= line.items()]

        try:
            return (await wait_for(find, f"a log line with {facts}"))[0]
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {self.log()}") from None

    async def stop(self) -> int:
        """End it by SIGTERM; gives its exit status."""
        self.process.signal(signal.SIGTERM)
        return await self.process.exit_status()


async def running(
    test: TestCase, settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
) -> Installation:
    """A default installation that runs, with a JSON access log on standard output."""

    async def start() -> Installation:
        installation = Installation(test, environment)
        installation.edit_settings(format="json", **(settings or {}))
        await installation.start()
        return installation

    return await once_more(start)


def run_meshgate(
    arguments: Sequence[str | Path], stdin: bytes = b"", plugins: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """
    Run the real command line.

    :param plugins: a folder with ``twisted/plugins`` in it.
    """
    return subprocess.run(
        [sys.executable, "-m", "meshgate", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": ":".join(map(str, filter(None, (IMPORT_ROOT, plugins)))), "PATH": "/usr/bin:/bin"},
    )
