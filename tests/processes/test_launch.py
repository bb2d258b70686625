"""Tests of :mod:`meshgate.processes.launch`: the start of a real twistd, in the foreground and in the background."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.background import TWISTD, Background
from tests.installation import ECHO, SNI, Installation
from tests.support import IMPORT_ROOT, Program, accepts, free_port, lacking, new_folder, wait_for

PROMPT = 20.0
"""Seconds within which a start that fails has to say so, on a busy machine."""

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
"""Runs a command where a folder can only be read."""

LATE = """
from meshgate.processes import launch
from meshgate import control as service
from meshgate.settings import load

def start(*arguments):
    {what}

{where} = start
from twisted.scripts.twistd import run
run()
"""
"""twistd with a gateway whose start does something else."""


class BackgroundTests(TestCase):
    """A start in the background."""

    timeout = 120

    async def refused(self, background: Background, *options: str | Path, logged: bool = True) -> str:
        """The message of a start that has to fail; it is in the log too."""
        program = background.command(*options)
        self.assertEqual(await program.exit_status(PROMPT), 1, program.stderr)
        self.assertNotIn("Traceback", program.stderr + program.stdout)
        await wait_for(lambda: not background.processes(), "the end of all processes")
        if logged:
            self.assertIn(program.stderr.rstrip("\n").splitlines()[-1], background.log)
            self.assertFalse((background.folder / "twistd.pid").exists())
        return program.stderr

    async def test_it_is_up_when_twistd_returns(self) -> None:
        """Ports are open, the pidfile names the process, and SIGTERM ends it and removes the file."""
        for workers in ("1", "2"):
            background = Background(self)
            background.installation.edit_settings(workers=workers, path="access.log")
            await background.start()
            for port in (ECHO, SNI):
                self.assertTrue(accepts("127.0.0.1", background.installation.ports[port]))
            self.assertTrue(background.installation.status()["running"])
            await background.stop()
            self.assertFalse((background.folder / "twistd.pid").exists())
            self.assertFalse(background.installation.status()["running"])
            self.assertIn("Server Shut Down.", background.log)

    async def test_nothing_holds_the_standard_streams(self) -> None:
        """Whoever reads what the start says comes to its end, though the gateway runs on."""
        background = Background(self)
        background.installation.edit_settings(workers="2")
        command: list[str | Path] = [TWISTD, "meshgate", "--config", background.installation.settings]
        environment = {**os.environ, "PYTHONPATH": str(IMPORT_ROOT)}
        done = subprocess.run(
            command, cwd=background.folder, env=environment, capture_output=True, timeout=60, check=False
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        self.assertEqual(os.stat(f"/proc/{background.pid}/fd/2").st_rdev, os.stat("/dev/null").st_rdev)
        self.assertIn("no line of the access log is kept", background.log)

    async def test_a_port_in_use(self) -> None:
        """The message names the port, with one worker and with two."""
        for workers in ("1", "2"):
            background = Background(self)
            background.installation.edit_settings(workers=workers)
            port = background.installation.ports[SNI]
            with socket.create_server(("0.0.0.0", port)):
                message = await self.refused(background)
            self.assertEqual(message, f"meshgate: port [::]:{port} cannot be bound: in use by another process\n")

    async def test_broken_settings(self) -> None:
        """All of the message is told, however long it is."""
        background = Background(self)
        file = background.installation.settings
        file.write_text(file.read_text().replace("connect: 10s", f"connect: {'x' * 300}"))
        message = await self.refused(background)
        self.assertIn(f"{file}:", message)
        self.assertIn("is not a duration", message)

    async def test_folders_that_cannot_be_used(self) -> None:
        """The folder of the log, of the access log, of the state and of the certificates."""
        background = Background(self)
        message = await self.refused(background, "--logfile", "nowhere/meshgate.log", logged=False)
        self.assertIn("nowhere/meshgate.log cannot be opened: its folder does not exist", message)
        background.installation.edit_settings(path="nowhere/access.log")
        self.assertIn("nowhere/access.log cannot be opened", await self.refused(background))
        background.installation.edit_settings(path="access.log", state_dir="meshgate.yaml")
        self.assertIn("state folder", await self.refused(background))
        background.installation.edit_settings(state_dir="state", certificates="../meshgate.yaml")
        self.assertIn("meshgate.yaml", await self.refused(background))

    async def test_folders_that_cannot_be_written(self) -> None:
        """Of the log, of the pidfile and of the state, in this order; in the foreground the first two are not used."""
        require_namespace("--mount")
        installation, elsewhere = Installation(self), new_folder(self)

        async def said(*options: str | Path) -> str:
            twistd = [TWISTD, *options, "meshgate", "--config", installation.settings]
            command = ["unshare", "--mount", "sh", "-c", READ_ONLY, installation.folder, *twistd]
            program = Program(self, command, installation.folder, {"PYTHONPATH": str(IMPORT_ROOT)})
            self.assertEqual(await program.exit_status(PROMPT), 1, program.stderr)
            self.assertNotIn("Traceback", program.stderr + program.stdout)
            return program.stderr

        self.assertIn("twistd.log cannot be opened: Read-only", await said("--pidfile="))
        log = elsewhere / "log"
        self.assertIn("twistd.pid cannot be written: its folder cannot be written", await said("--logfile", log))
        self.assertIn("the state folder", await said("-n"))
        installation.state.mkdir()
        message = await said("--pidfile=", "--logfile", log)
        self.assertEqual(message, f"meshgate: the state folder {installation.state} cannot be written\n")
        self.assertIn(message, log.read_text())

    async def test_options_that_mean_nothing(self) -> None:
        """``--logfile -`` in the background, and a folder that is not there."""
        background = Background(self)
        self.assertIn("no standard output", await self.refused(background, "--logfile", "-", logged=False))
        message = await self.refused(background, "--rundir", "nowhere", logged=False)
        self.assertEqual(message, "meshgate: the folder nowhere of --rundir does not exist\n")

    async def test_whatever_happens(self) -> None:
        """An error of any kind, an exit and a kill before the start is done end the waiting with status 1."""
        cases = (
            ("raise ZeroDivisionError('by nothing')", "ZeroDivisionError: by nothing"),
            ("raise SystemExit('no, thanks')", "no, thanks"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("import os; os.kill(os.getpid(), 9)", "it ended before it had started"),
            ("import os; os._exit(0)", "it ended before it had started"),
        )
        for where in ("service.ControlProcess.startService", "load.load_settings"):
            for what, said in cases:
                background = Background(self)
                command = [sys.executable, "-c", LATE.format(what=what, where=where), "meshgate", "--config"]
                program = Program(
                    self,
                    [*command, background.installation.settings],
                    background.folder,
                    {"PYTHONPATH": str(IMPORT_ROOT)},
                )
                self.assertEqual(await program.exit_status(PROMPT), 1, what)
                self.assertIn(said, program.stderr)
                self.assertIn("twistd.log", program.stderr)
                if "raise" in what:
                    self.assertIn("Traceback", background.log)
                await wait_for(lambda: not background.processes(), "the end of all processes")  # noqa: B023

    async def test_the_services_of_the_lab(self) -> None:
        """They start and fail in the background in the same way."""
        background, port = Background(self), free_port()
        with socket.create_server(("127.0.0.1", port)):
            program = background.command(plug_in=("meshgate-echo", f"--port={port}"))
            self.assertEqual(await program.exit_status(PROMPT), 1)
        self.assertIn(f"meshgate-echo: port 127.0.0.1:{port} ", program.stderr)
        program = background.command(plug_in=("meshgate-echo", f"--port={port}"))
        self.assertEqual(await program.exit_status(), 0, program.stderr)
        self.assertTrue(accepts("127.0.0.1", port))
        await background.stop()


class PidfileTests(TestCase):
    """When there is a pidfile, and what one does that is there already."""

    timeout = 120

    def foreground(self, installation: Installation, *options: str) -> Program:
        """Run twistd in the foreground, with these options of its own."""
        arguments: list[str | Path] = [TWISTD, "-n", *options, "meshgate", "--config", installation.settings]
        return Program(self, arguments, installation.folder, {"PYTHONPATH": str(IMPORT_ROOT)})

    async def test_none_in_the_foreground(self) -> None:
        """Neither is one written, nor is one looked at that is there."""
        installation = Installation(self)
        file = installation.folder / "twistd.pid"
        file.write_text(str(os.getppid()))
        program = self.foreground(installation)
        await program.wait_for_output("meshgate is up")
        program.signal(signal.SIGTERM)
        self.assertEqual(await program.exit_status(), 0)
        self.assertEqual(file.read_text(), str(os.getppid()))

    async def test_one_that_is_named(self) -> None:
        """It is written, though it is the default; and a second start beside it is refused."""
        installation = Installation(self)
        for option in ("--pidfile=twistd.pid", "--pidfile=other.pid"):
            program = self.foreground(installation, option)
            await program.wait_for_output("meshgate is up")
            self.assertEqual((installation.folder / option.partition("=")[2]).read_text(), str(program.pid))
            second = self.foreground(installation, option)
            self.assertEqual(await second.exit_status(), 1)
            self.assertRegex(second.stderr, rf"^meshgate: already running as process {program.pid}, .*\n$")
            program.signal(signal.SIGKILL)
            await program.exit_status()
        program = self.foreground(installation, "--pidfile", "twistd.pid")
        await program.wait_for_output("meshgate is up")
        program.signal(signal.SIGTERM)
        self.assertEqual(await program.exit_status(), 0)
        self.assertFalse((installation.folder / "twistd.pid").exists())

    async def test_a_start_that_fails_leaves_none(self) -> None:
        """Also in the foreground."""
        installation = Installation(self)
        with socket.create_server(("0.0.0.0", installation.ports[SNI])):
            program = self.foreground(installation, "--pidfile=twistd.pid")
            self.assertEqual(await program.exit_status(), 1)
        self.assertFalse((installation.folder / "twistd.pid").exists())

    async def test_in_the_background(self) -> None:
        """A second start is refused and changes nothing; a file left behind is removed, whoever has its number now."""
        background = Background(self)
        pid = await background.start()
        file = background.folder / "twistd.pid"
        os.utime(file, (1, 1))  # as after a step of the clock
        second = background.command()
        self.assertEqual(await second.exit_status(), 1)
        self.assertIn(f"meshgate: already running as process {pid}", second.stderr)
        self.assertEqual(background.pid, pid)
        await background.stop(signal.SIGKILL)
        self.assertEqual(background.pid, pid)
        other = Program(self, [sys.executable, "-c", "import time; time.sleep(100)"])
        file.write_text(str(other.pid))
        os.utime(file, (time.time() - 60,) * 2)
        self.assertNotIn(await background.start(), (pid, other.pid))
        self.assertTrue(other.running)
        await background.stop()

    async def test_what_is_no_pidfile(self) -> None:
        """A file named by mistake is left alone, and an empty one is what an interrupted start leaves."""
        background = Background(self)
        file = background.folder / "twistd.pid"
        file.write_text("precious\n")
        program = background.command()
        self.assertEqual(await program.exit_status(), 1)
        self.assertIn("is no pidfile: it holds 'precious'", program.stderr)
        self.assertEqual(file.read_text(), "precious\n")
        file.write_text("")
        await background.start()
        await background.stop()

    async def test_a_folder_that_is_not_there(self) -> None:
        """A message, and no traceback."""
        program = self.foreground(Installation(self), "--pidfile=nowhere/twistd.pid")
        self.assertEqual(await program.exit_status(), 1)
        self.assertRegex(
            program.stderr, r"^meshgate: the pidfile .* cannot be written: its folder does not exist; .*\n$"
        )

    async def test_process_1_of_a_container(self) -> None:
        """Killed and started again as process 1, with whatever pidfile it left; signals reach it there."""
        require_namespace("--pid", "--fork", "--mount-proc")
        installation = Installation(self)
        for options in ((), ("--pidfile=twistd.pid",)):
            for ending in (signal.SIGKILL, signal.SIGTERM):
                arguments: list[str | Path] = [TWISTD, "-n", *options, "meshgate", "--config", installation.settings]
                container = Program(
                    self,
                    ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *arguments],
                    installation.folder,
                    {"PYTHONPATH": str(IMPORT_ROOT)},
                )
                await container.wait_for_output("meshgate is up")
                (inside,) = map(int, Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split())
                os.kill(inside, ending)
                status = await container.exit_status()
                self.assertEqual(status == 0, ending == signal.SIGTERM, container.stderr)
                file = installation.folder / "twistd.pid"
                self.assertEqual(file.exists(), bool(options) and ending == signal.SIGKILL)


def require_namespace(*options: str) -> None:
    """
    Make sure that a test may run programs in namespaces of their own.

    :param options: of ``unshare``.
    :raises SkipTest: where it may not; on continuous integration it is a failure.
    """
    try:
        tried = subprocess.run(["unshare", *options, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        raise lacking("the program unshare is not installed") from None
    if tried.returncode:
        raise lacking(f"a namespace cannot be made: {tried.stderr.decode().strip()}")


class ValidateTests(TestCase):
    """``--validate`` beside a gateway that runs."""

    timeout = 120

    async def test_beside_a_running_gateway(self) -> None:
        """It prints and ends with the status, with ``-n`` and without, and touches nothing."""
        background = Background(self)
        installation = background.installation
        await background.start()

        def seen() -> dict[Path, int]:
            files = [*background.folder.rglob("*")]
            return {file: file.stat().st_mtime_ns for file in files if not file.name.startswith(("status", "figures"))}

        before = seen()
        for options in ((), ("-n",), ("-n", "--pidfile=twistd.pid")):
            program = background.command(
                *options, plug_in=("meshgate", "--config", installation.settings, "--validate")
            )
            self.assertEqual(await program.exit_status(), 0, program.stderr)
            self.assertIn("no problems", program.stdout)
        self.assertEqual(seen(), before)
        (installation.routes / "50-broken.yaml").write_text("a: [\n")
        program = background.command(plug_in=("meshgate", "--config", installation.settings, "--validate"))
        self.assertEqual(await program.exit_status(), 1)
        self.assertIn("50-broken.yaml", program.stdout)
        await background.stop()

    async def test_without_a_state_folder(self) -> None:
        """Nothing is made where nothing has run."""
        installation = Installation(self)
        arguments: list[str | Path] = [TWISTD, "meshgate", "--config", installation.settings, "--validate"]
        program = Program(self, arguments, new_folder(self), {"PYTHONPATH": str(IMPORT_ROOT)})
        self.assertEqual(await program.exit_status(), 0)
        self.assertFalse(installation.state.exists())
        self.assertEqual(list(program.folder.iterdir()), [])
