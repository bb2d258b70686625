"""Real kubectls for tests of the API: Debian's old one, and the current one in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.support import lacking, require_program

ROOT = Path(__file__).resolve().parent.parent
CURRENT = ROOT / "build" / "kubectl" / "bin" / "kubectl"
"""The current kubectl, which ``make kubectl`` installs."""

OLD = ROOT / "build" / "kubectl" / "debian" / "usr" / "bin" / "kubectl"
"""Debian's kubectl, which ``make kubectl`` unpacks where there is apt."""

TIMEOUT = 30.0
"""Seconds that a command may take."""


def kubectls() -> dict[str, str]:
    """
    The kubectls to test with, by a word for each.

    :raises SkipTest: if one of them is not installed. On continuous integration (``CI=true``) the test fails.
    """
    if not CURRENT.exists():
        raise lacking("the current kubectl is not installed (make kubectl)")
    if not OLD.exists() and os.environ.get("CI") == "true":
        raise lacking("Debian's kubectl is not installed (make kubectl)")
    return {"old": str(OLD) if OLD.exists() else require_program("kubectl"), "current": str(CURRENT)}


class Kubectl:
    """
    One kubectl.

    :param test: the test that it lives for; it gets a home of its own, where kubectl keeps what it has discovered.
    :param kubeconfig: the file that says where the API is.
    """

    def __init__(self, test: TestCase, program: str, kubeconfig: Path) -> None:
        home = Path(test.mktemp())
        home.mkdir()
        self._program = program
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home.resolve())}

    def run(
        self, *arguments: str, given: str = "", status: int | None = 0
    ) -> Deferred[subprocess.CompletedProcess[str]]:
        """
        Run a command in a thread, since the test's reactor may serve it.

        :param given: its standard input.
        :param status: the exit status that it must have; None for any.
        """
        return deferToThread(self._run, arguments, given, status)

    def _run(self, arguments: Sequence[str], given: str, status: int | None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self._program, *arguments],
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if status is not None and done.returncode != status:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done
