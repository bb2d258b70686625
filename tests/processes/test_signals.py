"""Tests of :mod:`meshgate.processes.signals`, and of what signals do to a real gateway and its workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.processes.signals import GATHER, HANDLED, TOGETHER, Signals, held_back
from tests.background import Background
from tests.installation import ECHO, SNI, Installation, running
from tests.lab_with_workers import END_OF_GREETING, Client, WorkersTestCase
from tests.support import IMPORT_ROOT, Program, TwistdProcess, read_to_end, wait_for

READ_AGAIN = "everything was read again"
OPENED_ANEW = "the log was opened anew"
BEGUN = "the upgrade begins"


ENDLESS = """
from os import write
from twisted.internet.defer import Deferred
from meshgate import control as service

service.ControlProcess.stopService = lambda self: (write(2, b"is asked to stop\\n"), Deferred())[1]
service.ControlProcess.end_at_once = lambda self: write(2, b"is to hurry\\n")
from twisted.scripts.twistd import run
run()
"""
"""twistd with a gateway that does not stop."""


class _FakeReactor(Clock):
    """A clock that calls from threads at once."""

    def callFromThread(self, function: Any, *arguments: object) -> None:
        """Call it."""
        function(*arguments)


class PassedOnTests(SynchronousTestCase):
    """Signals that workers pass on, and those to this process, without any process."""

    def setUp(self) -> None:
        """Handled as in a process that runs."""
        before = {number: signal.getsignal(number) for number in HANDLED}
        self.addCleanup(lambda: [signal.signal(number, before[number]) for number in HANDLED])
        self.reactor = _FakeReactor()
        self.acted = 0
        self.signals = Signals()

    def follow(self) -> None:
        """Act on them from now on."""

        def act() -> None:
            self.acted += 1

        self.signals.follow(self.reactor, dict.fromkeys(HANDLED, act))

    def passed_on(self, when: float) -> None:
        """A worker got SIGHUP then."""
        self.signals.passed_on(signal.SIGHUP, when)

    def test_early_ones_count_once(self) -> None:
        """What came before is acted on once for each signal, however often it came."""
        self.signals.install()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP):
            signal.raise_signal(number)
        self.assertEqual(self.acted, 0)
        self.follow()
        self.assertEqual(self.acted, 2)
        self.assertFalse(self.signals.asked_to_end)

    def test_all_processes_at_once(self) -> None:
        """One to this process and to three workers is one, in whatever order they tell."""
        self.follow()
        now = time.monotonic()
        self.passed_on(now - 0.01)
        signal.raise_signal(signal.SIGHUP)
        self.passed_on(now + 0.01)
        self.reactor.advance(GATHER)
        self.passed_on(now + 0.02)  # tells late, since this process was busy
        self.reactor.advance(GATHER)
        self.assertEqual(self.acted, 1)

    def test_only_workers(self) -> None:
        """One to two workers is acted on once, and the next one again."""
        self.follow()
        for when in (0.0, 0.01, TOGETHER + 0.1, TOGETHER + 0.2):
            self.passed_on(when)
        self.reactor.advance(GATHER)
        self.assertEqual(self.acted, 2)

    def test_this_process_always_acts(self) -> None:
        """Two to this process itself are two, however soon."""
        self.follow()
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(self.acted, 2)


class HeldBackTests(SynchronousTestCase):
    """The signals of children."""

    def test_signals_are_held_back(self) -> None:
        """What is started inside has them blocked; afterwards we have not."""
        text = "import signal; print(*sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
        with held_back():
            answer = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True)
        self.assertEqual(answer.stdout.split(), [b"%d" % number for number in sorted(HANDLED)])
        self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {*HANDLED}, set())


class EarlyTests(TestCase):
    """Signals while the gateway starts."""

    timeout = 120

    async def caught(self, workers: str = "1") -> tuple[Installation, TwistdProcess]:
        """A gateway whose start has just come to handle signals."""
        installation = Installation(self)
        installation.edit_settings(workers=workers)
        process = TwistdProcess(self, ["meshgate", "--config", installation.settings], installation.folder)

        def handles() -> bool:
            status = Path(f"/proc/{process.pid}/status").read_text()
            return bool(int(status.partition("SigCgt:\t")[2].split()[0], 16) & 1 << signal.SIGHUP - 1)

        await wait_for(handles, "handlers of signals", 20.0)
        self.assertNotIn("meshgate is up", process.stderr)
        return installation, process

    async def test_they_are_remembered(self) -> None:
        """Nothing kills it, and each is acted on once when it runs."""
        for workers in ("1", "2"):
            _, process = await self.caught(workers)
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
                process.signal(number)
            await process.wait_for_output(READ_AGAIN)
            await process.wait_for_output(BEGUN)
            process.signal(signal.SIGTERM)
            self.assertEqual(await process.exit_status(), 0)
            self.assertEqual(process.stderr.count(READ_AGAIN), 1)

    async def test_in_the_background(self) -> None:
        """The same, from the moment on when the pidfile names the process."""
        background = Background(self)
        program = background.command()
        file = background.folder / "twistd.pid"
        await wait_for(lambda: file.exists() and file.read_text(), "the pidfile", 20.0)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(background.pid, number)
        self.assertEqual(await program.exit_status(), 0)
        for text in (READ_AGAIN, OPENED_ANEW, BEGUN):
            await wait_for(lambda: text in background.log, text)  # noqa: B023
        await background.stop()

    async def test_an_end(self) -> None:
        """One that ends does so without a trace, and a second one at once."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            _, process = await self.caught()
            process.signal(number)
            self.assertEqual(await process.exit_status(), 0)
            self.assertNotIn("Traceback", process.stderr)
        _, process = await self.caught()
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGINT)
        # Which one is handled first is the system's choice, and on a busy machine it may be up by then.
        self.assertIn(await process.exit_status(), (0, 128 + signal.SIGTERM, 128 + signal.SIGINT))


class LogTests(TestCase):
    """Logs that are opened anew."""

    timeout = 180

    async def one_connection(self, port: int) -> None:
        """A connection that leaves a line."""
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"plain\n")
            read_to_end(client)

    async def rotated(self, background: Background, pid: int, number: signal.Signals, round_: int) -> None:
        """Rename both logs, send the signal, and wait for lines in new ones."""
        folder, port = background.folder, background.installation.ports[SNI]
        access, own = folder / "access.log", folder / "own.log"
        for file in (access, own):
            file.rename(f"{file}.{round_}")
        os.kill(pid, number)
        await wait_for(lambda: own.exists() and OPENED_ANEW in own.read_text(), "the log")
        await wait_for(access.exists, "the access log")
        # Every worker has its own descriptor: no line may go to the old file any more.
        old = Path(f"{access}.{round_}")

        async def lines(count: int) -> None:
            for _ in range(count):
                await self.one_connection(port)

        await wait_for(self._settled(old), "the old file to stay as it is")
        size = old.stat().st_size
        await lines(8)
        await wait_for(lambda: access.read_text().count("not_tls") == 8, "the lines")
        self.assertEqual(old.stat().st_size, size)

    def _settled(self, file: Path) -> Any:
        """True once the file was looked at for half a second, and did not change."""
        seen = [file.stat().st_size, time.monotonic()]

        def settled() -> bool:
            size = file.stat().st_size
            if size != seen[0]:
                seen[:] = [size, time.monotonic()]
            return time.monotonic() > seen[1] + 0.5

        return settled

    async def test_in_the_background(self) -> None:
        """``mv`` and SIGUSR1, then SIGHUP, with one worker and with two."""
        for workers in ("1", "2"):
            background = Background(self)
            background.installation.edit_settings(workers=workers, path="access.log", hello="1s")
            pid = await background.start("--logfile=own.log")
            for round_, number in enumerate((signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1)):
                await self.rotated(background, pid, number, round_)
            os.kill(pid, signal.SIGUSR2)
            await wait_for(lambda: BEGUN in (background.folder / "own.log").read_text(), BEGUN)  # noqa: B023
            await background.stop()

    async def test_in_the_foreground(self) -> None:
        """The same with ``-n``."""
        background = Background(self)
        background.installation.edit_settings(path="access.log", workers="2")
        program = background.command("-n", "--pidfile=", "--logfile=own.log")
        await program.wait_for_output("meshgate is up")
        for round_ in range(2):
            await self.rotated(background, program.pid, signal.SIGUSR1, round_)
        program.signal(signal.SIGTERM)
        self.assertEqual(await program.exit_status(), 0)

    async def test_without_a_file(self) -> None:
        """On standard error there is nothing to open anew, and nothing happens."""
        lab = await running(self)
        lab.process.signal(signal.SIGUSR1)
        lab.process.signal(signal.SIGUSR2)
        await lab.process.wait_for_output(BEGUN)
        self.assertNotIn(OPENED_ANEW, lab.process.stderr)
        self.assertEqual(await lab.stop(), 0)

    async def test_a_folder_that_is_gone(self) -> None:
        """The old files stay in use, and both failures are told."""
        background = Background(self)
        background.installation.edit_settings(path="logs/access.log", format="json")
        logs = background.folder / "logs"
        logs.mkdir()
        pid = await background.start("--logfile=logs/own.log")
        gone = logs.rename(background.folder / "gone")
        os.kill(pid, signal.SIGUSR1)
        own = gone / "own.log"
        await wait_for(lambda: "cannot be opened anew, so the old file stays in use" in own.read_text(), "the error")
        await wait_for(lambda: background.installation.status()["problems"], "the problem")
        await self.one_connection(background.installation.ports[SNI])
        await wait_for(lambda: "not_tls" in (gone / "access.log").read_text(), "the line")
        gone.rename(logs)
        os.kill(pid, signal.SIGUSR1)
        await wait_for(lambda: not background.installation.status()["problems"], "the end of the problem")
        await background.stop()

    async def test_it_rotates_itself_where_that_is_asked_for(self) -> None:
        """Otherwise never; a reload changes it."""
        background = Background(self)
        background.installation.edit_settings(path="access.log")
        file = background.folder / "own.log"
        file.write_text("x" * 2_000_000 + "\n")
        pid = await background.start("--logfile=own.log")
        self.assertEqual([one.name for one in background.folder.glob("own.log*")], ["own.log"])
        background.installation.edit_settings(rotate="1MiB", keep="2")
        os.kill(pid, signal.SIGHUP)
        await wait_for((background.folder / "own.log.1").exists, "the rotation")
        self.assertLess(file.stat().st_size, 100_000)
        await background.stop()


class EndAtOnceTests(TestCase):
    """SIGQUIT and SIGINT."""

    timeout = 180

    async def ends(self, pid: int, number: signal.Signals, installation: Installation, lines: Any) -> None:
        """End it while three connections are open; gives what they read at the end."""
        clients = [Client(self, installation.ports[ECHO]) for _ in range(3)]
        for client in clients:
            client.read_until(END_OF_GREETING)
        silent = socket.create_connection(("127.0.0.1", installation.ports[SNI]), timeout=10)
        self.addCleanup(silent.close)
        silent.sendall(b"\x16\x03\x01")  # a hello begins
        client = clients[0]
        client.echoes(b"still here")
        began = time.monotonic()
        os.kill(pid, number)
        for one in (*[client.socket for client in clients], silent):
            # Nobody takes what has come for all there is.
            self.assertRaises(ConnectionResetError, one.recv, 1)
        await wait_for(lambda: not Path(f"/proc/{pid}/fd/0").exists(), "the end")
        self.assertLess(time.monotonic() - began, 8.0)
        self.assertEqual([line["ending"] for line in lines()], ["drained"] * 4)
        self.assertFalse(installation.status()["running"])

    async def test_in_the_foreground(self) -> None:
        """Each connection leaves its line, the status says stopped, and the exit status is 0."""
        for workers in ("1", "2"):
            for number in (signal.SIGQUIT, signal.SIGINT):
                lab = await running(self, {"workers": workers, "defer_accept": "false"})
                await self.ends(lab.process.pid, number, lab, lab.log)
                self.assertEqual(await lab.process.exit_status(), 0)
                self.assertNotIn("Traceback", lab.process.stderr)

    async def test_in_the_background(self) -> None:
        """The same; the pidfile is removed too."""
        for workers in ("1", "2"):
            background = Background(self)
            installation = background.installation
            installation.edit_settings(workers=workers, path="access.log", format="json", defer_accept="false")
            file = background.folder / "access.log"

            def lines(file: Path = file) -> list[dict[str, Any]]:
                return [json.loads(line) for line in file.read_text().splitlines()]

            pid = await background.start()
            await self.ends(pid, signal.SIGQUIT, installation, lines)
            await wait_for(lambda: not background.processes(), "the end of all processes")  # noqa: B023
            self.assertFalse((background.folder / "twistd.pid").exists())
            self.assertNotIn("Traceback", background.log)


class SecondTests(TestCase):
    """A second signal to end."""

    timeout = 60

    async def test_something_does_not_end(self) -> None:
        """The first one waits for it; the second one has it hurry, and does not wait for ever."""
        installation = Installation(self)
        command = [sys.executable, "-c", ENDLESS, "-n", "meshgate", "--config", str(installation.settings)]
        program = Program(self, command, installation.folder, {"PYTHONPATH": str(IMPORT_ROOT)})
        await program.wait_for_output("meshgate is up")
        program.signal(signal.SIGTERM)
        await program.wait_for_output("is asked to stop")
        self.assertNotIn("is to hurry", program.stderr)
        program.signal(signal.SIGTERM)
        await program.wait_for_output("is to hurry")
        self.assertEqual(await program.exit_status(), 1)
        self.assertIn("not ended within 5 s", program.stderr)


class WorkerTests(WorkersTestCase):
    """Signals to workers, and to all processes at once."""

    async def test_they_are_passed_on(self) -> None:
        """SIGHUP, SIGUSR1 and SIGUSR2 to a worker are the gateway's, and the worker lives on."""
        lab = await self.start(path="access.log")
        pids = [await self.pid(lab, 1), await self.pid(lab, 2)]
        (lab.folder / "access.log").rename(lab.folder / "old.log")
        os.kill(pids[0], signal.SIGUSR1)
        await wait_for((lab.folder / "access.log").exists, "the new access log")
        os.kill(pids[1], signal.SIGHUP)
        await lab.process.wait_for_output(READ_AGAIN)
        os.kill(pids[0], signal.SIGUSR2)
        await lab.process.wait_for_output(BEGUN)
        self.assertEqual([await self.pid(lab, 1), await self.pid(lab, 2)], pids)

    async def test_to_all_processes(self) -> None:
        """One reload, for all that get the signal."""
        lab = await self.start()
        await self.pid(lab, 1)
        await self.pid(lab, 2)
        os.killpg(lab.process.pid, signal.SIGHUP)
        await lab.process.wait_for_output(READ_AGAIN)
        os.killpg(lab.process.pid, signal.SIGUSR2)
        await lab.process.wait_for_output(BEGUN)
        self.assertEqual(await lab.stop(), 0)
        self.assertEqual([lab.process.stderr.count(text) for text in (READ_AGAIN, BEGUN)], [1, 1])

    async def test_a_quit(self) -> None:
        """SIGQUIT to a worker ends the gateway, in order."""
        lab = await self.start()
        client = Client(self, lab.ports[ECHO])
        client.read_until(END_OF_GREETING)
        os.kill(await self.pid(lab, 1), signal.SIGQUIT)
        self.assertEqual(await lab.process.exit_status(), 0)
        self.assertEqual([line["ending"] for line in lab.log()], ["drained"])
        self.assertFalse(lab.status()["running"])

    async def test_an_interrupt(self) -> None:
        """SIGINT to a worker is ignored."""
        lab = await self.start()
        pid = await self.pid(lab, 1)
        os.kill(pid, signal.SIGINT)
        client = Client(self, lab.ports[ECHO])
        client.read_until(END_OF_GREETING)
        self.assertEqual(await self.pid(lab, 1), pid)
