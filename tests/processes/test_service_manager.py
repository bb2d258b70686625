"""Tests of :mod:`meshgate.processes.service_manager`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.processes.service_manager import ServiceManager, passed_on
from tests.support import IMPORT_ROOT, TwistdProcess, require_program, wait_for

UNIT = Path(__file__).parents[2] / "etc" / "meshgate.service"


class Manager:
    """A service manager: a socket to which notices come."""

    def __init__(self, test: SynchronousTestCase | TestCase) -> None:
        folder = tempfile.TemporaryDirectory()
        test.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        test.addCleanup(self._socket.close)
        self._socket.bind(self.path)
        self._socket.setblocking(False)
        self.notices: list[str] = []

    def read(self) -> list[str]:
        """All notices so far."""
        try:
            while True:
                self.notices.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return self.notices


class ServiceManagerTests(SynchronousTestCase):
    """Notices and the watchdog."""

    def test_notices(self) -> None:
        """Ready once, then reloading and ready again, then stopping; children inherit no variable."""
        manager = Manager(self)
        environment = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "2000000", "OTHER": "x"}
        clock = Clock()
        service = ServiceManager(clock, environment)
        self.assertEqual(environment, {"OTHER": "x"})
        service.ready("serves")
        service.ready("serves")
        clock.advance(1.0)
        service.reloading()
        service.ready("what was there before")
        service.read_again()
        service.ready("serves more")
        service.stopping()
        service.ready("too late")
        notices = [re.sub(r"USEC=\d+", "USEC=N", each) for each in manager.read()]
        self.assertEqual(
            notices,
            [
                "READY=1\nSTATUS=serves",
                "WATCHDOG=1",
                "WATCHDOG=1",
                "RELOADING=1\nMONOTONIC_USEC=N\nSTATUS=reads everything again",
                "READY=1\nSTATUS=serves more",
                "STOPPING=1\nSTATUS=drains its connections",
            ],
        )

    def test_another_main_process(self) -> None:
        """The last word is the number of the other process, which gets the variables; what comes after is not told."""
        manager = Manager(self)
        variables = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "2000000"}
        clock = Clock()
        service = ServiceManager(clock, {**variables, "WATCHDOG_PID": str(os.getpid())})
        self.assertEqual(service.variables, variables)
        service.ready("serves")
        service.replaced(4711)
        clock.advance(5.0)
        service.stopping()
        self.assertEqual(manager.read()[-2:], ["WATCHDOG=1", "MAINPID=4711"])

    def test_nobody_is_there(self) -> None:
        """Without a manager, with one that is gone, and with the watchdog of another process, nothing happens."""
        for environment in (
            {},
            {"NOTIFY_SOCKET": "/nowhere/notify"},
            {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid() + 1)},
        ):
            clock = Clock()
            service = ServiceManager(clock, dict(environment))
            service.ready("serves")
            self.assertEqual(clock.getDelayedCalls(), [])


class PassedOnTests(SynchronousTestCase):
    """Descriptors that are passed on (sd_listen_fds(3))."""

    def variables(self, count: str = "2", pid: str = "", **names: str) -> dict[str, str]:
        """The variables for this process."""
        return {"LISTEN_PID": pid or str(os.getpid()), "LISTEN_FDS": count, **names}

    def test_names(self) -> None:
        """Each descriptor has its name; without names, all have the one that systemd gives them."""
        self.assertEqual(passed_on(self.variables(LISTEN_FDNAMES="web:api")), [(3, "web"), (4, "api")])
        self.assertEqual(passed_on(self.variables(LISTEN_FDNAMES="web:")), [(3, "web"), (4, "")])
        self.assertEqual(passed_on(self.variables()), [(3, "unknown"), (4, "unknown")])

    def test_nothing_was_passed_on(self) -> None:
        """So it is without variables, with those of another process, and with no descriptor."""
        for variables in (
            {},
            {"LISTEN_FDS": "1"},
            self.variables(pid=str(os.getppid())),
            self.variables("x", pid=str(os.getppid())),
            self.variables("0"),
        ):
            self.assertEqual(passed_on(variables), [])

    def test_malformed(self) -> None:
        """The message names the variable and what it is."""
        for name, value in (
            ("LISTEN_FDS", "two"),
            ("LISTEN_FDS", "-1"),
            ("LISTEN_FDS", ""),
            ("LISTEN_FDS", "9" * 10),
            ("LISTEN_PID", "1x"),
            ("LISTEN_PID", "\u0663"),
        ):
            error = self.assertRaises(ValueError, passed_on, self.variables() | {name: value})
            self.assertEqual(str(error), f"{name} is {value!r}, and should be a number")
        error = self.assertRaises(ValueError, passed_on, self.variables("1", LISTEN_FDNAMES="a:b"))
        self.assertEqual(str(error), "LISTEN_FDS is 1, but LISTEN_FDNAMES has 2: a:b")

    def test_twisted_is_first(self) -> None:
        """They are found although Twisted's endpoints have removed the variables, and no child gets those."""
        program = (
            "import os, twisted.internet.endpoints; from meshgate.processes.service_manager import take_passed_on;"
            "print(take_passed_on(os.environ), [name for name in os.environ if 'LISTEN' in name])"
        )
        found = subprocess.run(
            [
                "/bin/sh",
                "-c",
                'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$0" -c "$1"',
                sys.executable,
                program,
            ],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(IMPORT_ROOT)},
            check=True,
        ).stdout
        self.assertEqual(found, "[PassedOn(number=3, name='web')] []\n")


class RealTests(TestCase):
    """A real gateway, and the unit that comes with it."""

    async def test_a_life(self) -> None:
        """It is ready when its workers serve, tells of a reload, lives while it is watched, and stops."""
        manager = Manager(self)
        environment = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "200000"}
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "meshgate.yaml").write_text("providers: []\nworkers: 1\n")
        process = TwistdProcess(self, ["meshgate", "--config", "meshgate.yaml"], folder, environment)

        def told(word: str, times: int = 1) -> bool:
            return sum(word in each for each in manager.read()) >= times

        await wait_for(lambda: told("READY=1"), "ready")
        await wait_for(lambda: told("WATCHDOG=1", 3), "a sign of life")
        process.signal(signal.SIGHUP)
        await wait_for(lambda: told("READY=1", 2), "ready again")
        self.assertTrue(told("RELOADING=1"))
        process.signal(signal.SIGTERM)
        await wait_for(lambda: told("STOPPING=1"), "the end")

    def test_the_unit_is_hardened(self) -> None:
        """Systemd rates what the unit exposes at 1.5 of 10 at the most, and finds no fault in it."""
        analyze = require_program("systemd-analyze")
        rated = subprocess.run(
            [analyze, "security", "--offline=true", str(UNIT)], capture_output=True, text=True, check=True
        ).stdout
        exposure = re.search(r"Overall exposure level for meshgate\.service: ([\d.]+)", rated)
        assert exposure is not None
        self.assertLessEqual(float(exposure[1]), 1.5)
