"""
What several test modules share: free ports, waiting with a deadline, and real processes that always end.

Everything that waits is a coroutine, so that servers living in the test's own reactor go on serving
meanwhile: write ``async def test_...`` and ``await``.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

import meshgate

reactor: Any = _reactor
"""The running reactor; ``Any``, since it provides more interfaces than one type can name."""

IMPORT_ROOT = Path(meshgate.__file__).resolve().parent.parent
"""What has to be on ``sys.path`` to find meshgate and its plug-ins: the checkout, or the installation."""

_PORTS = range(10000, 65536)
_given_out: set[int] = set()
_claims = os.open(
    Path(tempfile.gettempdir(), f"meshgate-tests-{os.getuid()}.ports"),
    os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
    0o600,
)
T = TypeVar("T")


class StartError(AssertionError):
    """A process ended before it did what the test waited for. Its output is in the message."""


def free_port() -> int:
    """
    A TCP port that nobody uses now and that no outgoing connection will be given: one outside the kernel's
    range of local ports. Another program may still take it first; see :func:`once_more`.

    :return: a port, never the same twice in one process, nor in test processes that run at the same time.
    """
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except FileNotFoundError:
        low, high = 49152, 65535
    if low <= _PORTS.start and high >= _PORTS.stop - 1:
        low, high = 0, 0  # there are no others
    for _ in range(20 * len(_PORTS)):
        port = random.choice(_PORTS)
        if not low <= port <= high and port not in _given_out and _claimed(port) and _can_bind(port):
            _given_out.add(port)
            return port
    raise AssertionError("no free port is left")


def _claimed(port: int) -> bool:
    """Claim a port among all test processes of this user, until this one ends: by a lock on one byte of a file."""
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _can_bind(port: int) -> bool:
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=dual).close()
    except OSError:
        return False
    return True


async def once_more(start: Callable[[], Awaitable[T]]) -> T:
    """
    Start something on free ports, and once more on other ones if that fails: somebody may have been faster.

    :param start: picks its ports anew at each call; raises :exc:`StartError` when it fails.
    """
    try:
        return await start()
    except StartError:
        return await start()


async def wait_for(condition: Callable[[], T], what: str, timeout: float = 30.0) -> T:
    """
    Poll a condition, with the reactor running, until it is true.

    :param condition: what to call; must not block.
    :param what: what is waited for, for the message of the failure.
    :param timeout: in seconds.
    :return: the condition's first true value.
    :raises AssertionError: when the time is over.
    """
    deadline = reactor.seconds() + timeout
    while not (value := condition()):
        if reactor.seconds() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        await deferLater(reactor, 0.01)
    return value


def new_folder(test: SynchronousTestCase) -> Path:
    """
    A fresh, existing folder for one test.

    :return: its absolute path.
    """
    mktemp: Callable[[], str] = test.mktemp
    folder = Path(mktemp()).resolve()
    folder.mkdir(parents=True)
    return folder


def require_program(name: str) -> str:
    """
    The path of a program that a test cannot do without.

    :raises SkipTest: when it is not installed. On continuous integration (``CI=true``) the test fails.
    """
    path = shutil.which(name)
    if path is None:
        raise lacking(f"the program {name} is not installed")
    return path


def lacking(what: str) -> Exception:
    """What a test raises that cannot do without something: on continuous integration (``CI=true``) it fails."""
    return AssertionError(what) if os.environ.get("CI") == "true" else SkipTest(what)


def read_to_end(client: socket.socket) -> None:
    """
    Read, blocking, until the other side has ended the connection, in order or by a reset.

    :raises TimeoutError: when that does not happen within the socket's timeout.
    """
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass


class Program:
    """
    A real process in a process group of its own, its output in files. When the test ends, however it ends,
    the whole group is killed.

    :param test: the test that it lives for.
    :param arguments: the program and its arguments.
    :param folder: where it runs; a fresh one unless given.
    :param environment: variables on top of the test's own.
    :param descriptors: what it inherits besides its output.
    """

    def __init__(
        self,
        test: TestCase,
        arguments: Sequence[str | Path],
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        outputs = new_folder(test)
        self.folder = folder or new_folder(test)
        self.arguments = [str(argument) for argument in arguments]
        self._stdout = outputs / "stdout"
        self._stderr = outputs / "stderr"
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self._process = subprocess.Popen(
                self.arguments,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=descriptors,
            )
        self.pid = self._process.pid
        test.addCleanup(self.kill)

    @property
    def stdout(self) -> str:
        """What it has written to standard output so far."""
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has written to standard error so far."""
        return self._stderr.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its children."""
        self._process.send_signal(number)

    async def exit_status(self, timeout: float = 60.0) -> int:
        """
        Wait for its end.

        :param timeout: in seconds.
        :return: the exit status; negative for the signal that ended it.
        """
        await wait_for(lambda: not self.running, f"the end of {self}", timeout)
        return self._process.wait()

    async def wait_for_output(self, text: str, timeout: float = 60.0) -> None:
        """
        Wait until the text stands in its standard output or error.

        :param timeout: in seconds.
        :raises StartError: when the process ends without having written it.
        """
        await self._wait(lambda: text in self.stdout or text in self.stderr, f"{text!r} from {self}", timeout)

    async def wait_for_port(self, port: int, address: str = "127.0.0.1", timeout: float = 60.0) -> None:
        """
        Wait until a connection to the port succeeds. It is closed at once, and the process does see it.

        :param timeout: in seconds.
        :raises StartError: when the process ends before.
        """
        await self._wait(lambda: accepts(address, port), f"port {port} of {self}", timeout)

    async def _wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        def happened() -> bool:
            ended = not self.running
            if condition():
                return True
            if ended:
                raise StartError(f"ended before {what}\n{self.stdout}\n{self.stderr}")
            return False

        await wait_for(happened, what, timeout)

    def kill(self) -> None:
        """Kill the process and all its children, and reap it. Does nothing if they are gone."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def __str__(self) -> str:
        return " ".join(self.arguments)


def accepts(address: str, port: int) -> bool:
    """Whether the kernel takes a connection, be it that nobody has taken it from there yet."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


_PASS_ON = """
import fcntl, os, sys
names, numbers, *command = sys.argv[1:]
for number, copy in enumerate([fcntl.fcntl(int(each), fcntl.F_DUPFD, 100) for each in numbers.split(",")], 3):
    os.dup2(copy, number)
    os.close(copy)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(number - 2), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""
"""Passes sockets on as a service manager does (sd_listen_fds(3))."""


class TwistdProcess(Program):
    """
    A real ``twistd -n`` in the foreground, with meshgate's plug-ins on its path and without a pidfile.

    :param test: the test that it lives for.
    :param arguments: the plug-in's name and its options.
    :param folder: where it runs; a fresh one unless given.
    :param environment: variables on top of the test's own.
    :param activated: listening sockets to pass on, by their names.
    """

    def __init__(
        self,
        test: TestCase,
        arguments: Sequence[str | Path],
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        activated: Mapping[str, socket.socket] | None = None,
    ) -> None:
        command = [Path(sys.executable).with_name("twistd"), "-n", "--pidfile=", *arguments]
        numbers = [each.fileno() for each in activated.values()] if activated else []
        if activated:
            command = [sys.executable, "-c", _PASS_ON, ":".join(activated), ",".join(map(str, numbers)), *command]
        variables = {"PYTHONPATH": str(IMPORT_ROOT), **(environment or {})}
        super().__init__(test, command, folder, variables, numbers)
