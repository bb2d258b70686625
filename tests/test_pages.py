"""Pages of the documentation, followed literally by a reader (:mod:`tests.console_pages`)."""

from __future__ import annotations

import re
import shutil
import textwrap

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.console_pages import DOCS, Reader, Step, prints, steps_of
from tests.environments import compiler
from tests.support import new_folder, require_program, wait_for
from tests.test_packaging import new_checkout

PAGE = """\
A page
======

.. code-block:: yaml
    :caption: a/b.yaml

    one: 1

    two: 2

.. code-block:: console

    $ first \\
        second
    $ third
    its output
    ^C

    .. code-block:: console

        $ fourth

.. code-block:: python

    not_run()
"""


class StepsTests(SynchronousTestCase):
    """The reading of a page."""

    def test_commands_and_files(self) -> None:
        """Commands with their output, and files, in order; other blocks are for the reader's eyes."""
        page = new_folder(self) / "page.rst"
        page.write_text(PAGE)
        expected = [
            Step("one: 1\n\ntwo: 2\n", file="a/b.yaml"),
            Step("first \\\n    second"),
            Step("third", ("its output",)),
            Step("^C"),
            Step("fourth"),
        ]
        self.assertEqual(steps_of(page), expected)

    def test_output(self) -> None:
        """Three dots stand for anything, in a line or as a line."""
        self.assertTrue(prints(["a...d", "...", "z"], "abcd\nx\ny\nz\n"))
        self.assertTrue(prints(["a", "...", "z"], "a\nz"))
        self.assertFalse(prints(["a", "z"], "a\nb\nz\n"))
        self.assertFalse(prints(["b"], "a\nb\n"))
        self.assertTrue(prints(["b"], "a\nb\n", whole=False))


class PageTests(TestCase):
    """One page each, from nothing to its end."""

    timeout = 400

    async def test_write_a_route_provider(self) -> None:
        """The package is made, installed, tested and run; a connection is routed by it, and a change is followed."""
        require_program("curl")
        await Reader(self, installed=True).follow("howto/write-a-route-provider")

    async def test_lab(self) -> None:
        """The tutorial: the lab is made, its routes change under open connections, and are broken and mended."""
        for program in ("make", "telnet", "curl"):
            require_program(program)
        reader = Reader(self, installed=False)
        new_checkout(self).rename(reader.folder / "meshgate")
        await reader.run("cd meshgate")
        await reader.follow("tutorial/lab", may_fail=True)

    async def test_symptoms(self) -> None:
        """The commands say what the page shows of each symptom."""
        await Reader(self, installed=True).follow("howto/symptoms", may_fail=True)

    async def test_from_kubectl_to_files(self) -> None:
        """A changed copy beside the old one, and two resources without an age, are judged as the page shows."""
        await Reader(self, installed=True).follow("howto/from-kubectl-to-files", may_fail=True)

    async def test_check_in_ci(self) -> None:
        """The commands of a pipeline say what the page shows."""
        await Reader(self, installed=True).follow("howto/check-in-ci")

    async def test_run(self) -> None:
        """The lab runs in the foreground and in the background, gets signals, and has its logs rotated."""
        await Reader(self, installed=True).follow("howto/run")

    async def test_metrics(self) -> None:
        """The lab answers for its health, and counts a connection."""
        require_program("curl")
        await Reader(self, installed=True).follow("howto/metrics")

    async def test_access(self) -> None:
        """An address that is denied is explained, and refused by the lab."""
        require_program("curl")
        await Reader(self, installed=True).follow("howto/access")

    async def test_drain_and_upgrade(self) -> None:
        """The lab in the background is upgraded, and refuses broken settings; it says that it drains, and ends."""
        require_program("curl")
        await Reader(self, installed=True).follow("howto/drain-and-upgrade")

    async def test_behind_a_load_balancer(self) -> None:
        """The lab expects headers, and curl sends one, none, and a false one."""
        require_program("curl")
        await Reader(self, installed=True).follow("howto/behind-a-load-balancer")

    async def test_container(self) -> None:
        """The health check of the page says that the lab lives."""
        await Reader(self, installed=True).follow("howto/container")

    async def test_systemd(self) -> None:
        """Systemd rates the unit as the page says, and its program starts the lab when the first client connects."""
        for program in ("systemd-analyze", "systemd-socket-activate"):
            require_program(program)
        reader = Reader(self, installed=True)
        (reader.folder / "etc").symlink_to(DOCS.parent / "etc")
        await reader.follow("howto/systemd")

    async def test_the_units(self) -> None:
        """They are valid, and what the service starts and reloads are commands that work."""
        systemd_analyze = require_program("systemd-analyze")
        reader = Reader(self, installed=True)
        await reader.run("mkdir etc; meshgate init etc/meshgate")
        unit = (DOCS.parent / "etc" / "meshgate.service").read_text()
        unit = unit.replace("/opt/meshgate", f"{reader.folder}/.venv").replace("/etc/", f"{reader.folder}/etc/")
        (reader.folder / "meshgate.service").write_text(unit)
        shutil.copy(DOCS.parent / "etc" / "meshgate.socket", reader.folder)
        self.assertEqual(await reader.run(f"{systemd_analyze} verify ./meshgate.service ./meshgate.socket"), "")
        commands = dict(re.findall(r"(?m)^Exec(\w+)=(.*)$", unit))
        await reader.begin(Step(commands["Start"]))
        await reader.run(f"MAINPID=$!; {commands['Reload']}")
        await reader.printed("everything was read again")

    async def test_rotate_by_logrotate(self) -> None:
        """Logrotate takes the configuration, and the gateway goes on with new files."""
        logrotate = require_program("logrotate")
        reader = Reader(self, installed=True)
        text = (DOCS / "howto" / "run.rst").read_text()
        configuration = textwrap.dedent(text[text.index("    /var/log/meshgate") : text.index("endscript\n    }")])
        configuration += "endscript\n}\n"
        configuration = configuration.replace("/var/log/meshgate", str(reader.folder))
        (reader.folder / "logrotate.conf").write_text(
            configuration.replace("/run/meshgate.pid", str(reader.folder / "twistd.pid"))
        )
        await reader.run("meshgate init lab; twistd meshgate --config lab/meshgate.yaml")
        await reader.run(f"{logrotate} --state rotated --force logrotate.conf")
        log = reader.folder / "twistd.log"
        await wait_for(lambda: log.exists() and "opened anew" in log.read_text(), "the new log")
        self.assertIn("listening on", (reader.folder / "twistd.log.1").read_text())
        await reader.run('kill "$(cat twistd.pid)"')

    async def test_install(self) -> None:
        """Meshgate is installed by pip, from source, without a compiler, and as a wheel."""
        wheels = new_folder(self)
        reader = Reader(self, installed=False, variables={"PIP_FIND_LINKS": str(wheels), "CC": compiler(self)})
        sources = new_checkout(self)
        await reader.run(f"ln -s {sources} meshgate")
        await reader.run(f"cd meshgate; MESHGATE_COMPILE=0 python3 -m pip wheel --no-deps -w {wheels} .; cd ..")
        await reader.follow("howto/install")
