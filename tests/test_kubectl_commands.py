"""The table of kubectl's commands in the documentation, run row by row with each kubectl."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.kubectl import ROOT, kubectls
from tests.support import Program, TwistdProcess, free_port, new_folder

PAGE = ROOT / "docs" / "reference" / "kubectl-commands.rst"
COLUMNS = {"old": 1, "current": 2}

PORTS = ("31400", "31401")
"""The ports of the page that the gateway binds."""

TIMEOUT = 30.0
"""Seconds that a command may take."""

GOES_ON = 1.5
"""Seconds after which a command that goes on is interrupted."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    A row of the table.

    :ivar result: ``yes``, ``no``, ``goes on`` or ``—``.
    :ivar texts: what the command prints, among other things.
    """

    command: str
    result: str
    texts: tuple[str, ...]


def replaced(text: str, ports: Mapping[str, str]) -> str:
    """A text with other ports, since other tests have those of the tutorial."""
    for port, free in ports.items():
        text = text.replace(port, free)
    return text


def rows(which: str, ports: Mapping[str, str]) -> Iterator[Row]:
    """
    The rows of the table for one of the kubectls.

    :param ports: the ports to use instead of those of the page.
    """
    text = replaced(PAGE.read_text(encoding="utf-8").partition(".. csv-table::")[2], ports)
    lines = [line.strip() for line in text.splitlines() if line.startswith('   "')]
    for row in csv.reader(lines, skipinitialspace=True):
        command, answer = row[0].strip("`"), row[3]
        yield Row(command, row[COLUMNS[which]], tuple(re.findall("``(.+?)``", answer)))


def files() -> Mapping[str, str]:
    """The files of the page by their names."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r":caption: (\S+)\n\n((?:    .*\n|\n)+)", text)
    return {name: re.sub("(?m)^    ", "", content) for name, content in found}


class KubectlCommandTests(TestCase):
    """A reader who tries every row."""

    timeout = 280

    async def try_rows(self, which: str) -> None:
        """Start a gateway, and run all rows with one of the kubectls."""
        program = shutil.which(kubectls()[which]) or ""
        folder = Path(new_folder(self)) / "tutorial"
        program_of_ours = Program(self, [sys.executable, "-m", "meshgate", "init", "--tutorial", folder])
        self.assertEqual(await program_of_ours.exit_status(), 0, program_of_ours.stderr)
        for name, content in files().items():
            (folder / name).write_text(content)
        ports = {port: str(free_port()) for port in PORTS}
        for path in (folder / "ch4").glob("*.yaml"):
            path.write_text(replaced(path.read_text(), ports))
        settings = folder / "meshgate.yaml"
        settings.write_text(settings.read_text().replace("\napi:\n", f"\nworkers: 1\napi:\n  port: {free_port()}\n"))
        process = TwistdProcess(self, ["meshgate", "--config", settings], folder)
        await process.wait_for_output("the worker serves")
        (folder / "kubectl").symlink_to(program)
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(folder), os.environ["PATH"]]),
            "HOME": str(folder),
            "KUBECONFIG": str(folder / "state" / "kubeconfig"),
        }
        found = [await deferToThread(run_row, row, folder, environment) for row in rows(which, ports)]
        faults = [fault for fault in found if fault]
        self.assertEqual(faults, [], "\n\n".join(faults))

    async def test_the_old_kubectl(self) -> None:
        """Debian's kubectl answers as the table says."""
        await self.try_rows("old")

    async def test_the_current_kubectl(self) -> None:
        """So does the current one."""
        await self.try_rows("current")


def run_row(row: Row, folder: Path, environment: Mapping[str, str]) -> str:
    """Run the command of a row; give a sentence if it does not answer as the row says, or nothing. Blocks."""
    seconds = GOES_ON if row.result == "goes on" else TIMEOUT
    done = subprocess.run(
        ["timeout", str(seconds), "bash", "-c", row.command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    results = {0: ("yes",), 124: ("goes on",)}.get(done.returncode, ("no", "—"))
    if row.result not in results:
        return f"{row.command}: {row.result}, but exit status {done.returncode}\n{printed[-800:]}"
    if row.result == "—":
        return ""
    missing = [text for text in row.texts if text not in printed]
    return f"{row.command}: nothing about {missing}\n{printed[-800:]}" if missing else ""
