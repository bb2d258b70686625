"""The tutorial with kubectl, followed literally by each kubectl."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.console_pages import Reader
from tests.kubectl import kubectls
from tests.support import new_folder, require_program


class TutorialTests(TestCase):
    """A reader of ``docs/tutorial/kubectl``."""

    timeout = 300

    async def follow(self, which: str) -> None:
        """Follow the page with one of the kubectls."""
        for program in ("telnet", "curl"):
            require_program(program)
        tools = Path(new_folder(self))
        (tools / "kubectl").symlink_to(shutil.which(kubectls()[which]) or "")
        path = os.pathsep.join([str(tools), os.environ["PATH"]])
        # As on a terminal, where curl shows no progress.
        (tools / ".curlrc").write_text("silent\nshow-error\n")
        self.patch(os, "environ", {**os.environ, "PATH": path})
        await Reader(self, installed=True, variables={"CURL_HOME": str(tools)}).follow("tutorial/kubectl")

    async def test_the_old_kubectl(self) -> None:
        """Debian's kubectl goes through the whole page."""
        await self.follow("old")

    async def test_the_current_kubectl(self) -> None:
        """So does the current one."""
        await self.follow("current")
