"""The processes of a benchmark: proxies, the backend and the load generator. Each ends with its block."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

from benchmarks.counters import family

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "benchmarks" / "build"
COMPILED = ROOT / "build" / "compiled"
"""The folder into which ``make compiled`` puts meshgate."""

OUTPUT = "output"
"""The file in a program's folder that gets its output."""

PROGRAMS = ("load", "backend")

DEADLINE = 120.0
"""Seconds to wait for anything before the benchmark gives up."""

_given_out: set[int] = set()


class BenchmarkError(Exception):
    """The measurement is invalid; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """
    A running proxy.

    :ivar pid: the process that was started.
    :ivar port: the port it listens on, on 127.0.0.1.
    :ivar folder: the folder of its files.
    :ivar controlled: its first process only controls, and the children of that one carry the connections.
    """

    name: str
    pid: int
    port: int
    folder: Path
    controlled: bool = False

    def pids(self) -> tuple[int, ...]:
        """All processes of the proxy."""
        return family(self.pid)

    def carriers(self) -> tuple[int, ...]:
        """
        The processes that carry connections: what is measured.

        A meshgate from before connections were carried by workers alone has, with ``workers: 1``, no children: there
        it is the first process.
        """
        pids = self.pids()
        return tuple(pid for pid in pids if pid != self.pid) or pids if self.controlled else pids

    def control(self) -> tuple[int, ...]:
        """The processes that carry no connection, counted apart."""
        return tuple(sorted(set(self.pids()) - set(self.carriers())))


def build(*, interpreted: bool = False) -> None:
    """
    Compile the load generator, the backend and meshgate where they are older than their sources.

    :param interpreted: do not compile meshgate.
    :raises BenchmarkError: if one of them does not compile.
    """
    targets = [
        *([] if interpreted else ["compiled"]),
        *(str(BUILD.relative_to(ROOT) / program) for program in PROGRAMS),
    ]
    made = subprocess.run(
        ["make", "--silent", "-C", str(ROOT), *targets],  # noqa: S607 -- whichever make there is
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise BenchmarkError(f"what a run needs does not compile:\n{made.stderr}")


@contextlib.contextmanager
def running(
    arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """
    Run a program in a process group of its own until the block ends. Its output goes to a file in its folder.

    :return: its process id.
    """
    with (folder / OUTPUT).open("wb") as output:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def proxy(
    name: str,
    arguments: Sequence[str | Path],
    folder: Path,
    port: int,
    environment: Mapping[str, str] | None = None,
    *,
    controlled: bool = False,
) -> Iterator[Server]:
    """
    Run a proxy until the block ends; the block begins when the proxy accepts connections.

    :param controlled: as in :class:`Server`.
    :raises BenchmarkError: if it ends or does not listen in time.
    """
    with running(arguments, folder, environment) as pid:
        server = Server(name, pid, port, folder, controlled)

        def up() -> bool:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                raise BenchmarkError(f"{name} does not run:\n{(folder / 'output').read_text(errors='replace')}")
            return accepts(port)

        wait_until(up, f"{name} to listen")
        yield server


def pin(server: Server, cpus: Set[int]) -> None:
    """Let all threads of a proxy run on these processors only; threads that it starts later inherit that."""
    for pid in server.pids():
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cpus)


@contextlib.contextmanager
def backend() -> Iterator[int]:
    """Run the backend until the block ends, and yield its port."""
    process = subprocess.Popen([BUILD / "backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield int(cast("IO[str]", process.stdout).readline())
        finally:
            process.kill()


class Load:
    """
    One run of the load generator, within a ``with`` block.

    :param mode: ``connections``, ``round-trips``, ``download`` or ``upload``.
    :param port: the port it connects to.
    :param options: its further options by name, without the leading ``--``.
    """

    def __init__(self, mode: str, port: int, **options: int) -> None:
        self._mode = mode
        chosen = {"port": port, "seconds": int(DEADLINE), **options}
        arguments = [text for name, value in chosen.items() for text in (f"--{name}", str(value))]
        self._process = subprocess.Popen(
            [BUILD / "load", mode, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()

    def prepare(self) -> None:
        """
        Wait until the kept connections are set up.

        :raises BenchmarkError: if one of them cannot be set up.
        """
        line = self._read()
        if line != "ready\n":
            raise BenchmarkError(f"{self._mode}: the connections cannot be set up: {line}")

    def work(self) -> dict[str, Any]:
        """
        Start the load and wait for its report. The kept connections stay open.

        :raises BenchmarkError: if any connection failed or any byte was wrong.
        """
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write("\n")
        stdin.flush()
        report: dict[str, Any] = json.loads(self._read() or '{"faults": {"all": 1}}')
        if report["faults"]["all"]:
            raise BenchmarkError(f"{self._mode}: some connections failed, or got a wrong answer: {report}")
        return report

    def _read(self) -> str:
        return cast("IO[str]", self._process.stdout).readline()


def free_port() -> int:
    """A free port outside the range from which outgoing connections get their local ports."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    candidates = [port for port in range(10000, 65536) if not low <= port <= high and port not in _given_out]
    random.shuffle(candidates)
    for port in candidates:
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            _given_out.add(port)
            return port
    raise BenchmarkError("no free port is left")


def accepts(port: int) -> bool:
    """True if a connection to the port is accepted."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def client_hello(name: str) -> bytes:
    """The first message of a TLS client that asks for a name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _context().wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@cache
def _context() -> ssl.SSLContext:
    """
    The context of all hellos. It verifies nothing: to load a system's certificates takes 30 ms, which others on the
    machine that is measured would notice, and no handshake gets so far.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return context


def answers(port: int, data: bytes) -> bool:
    """True if anything comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(data)
        return client.recv(len(data)) != b""


def wait_until(condition: Any, what: str, pause: float = 0.02) -> None:
    """
    Poll until a condition holds.

    :param what: the condition in words, for the error message.
    :param pause: seconds between two polls.
    :raises BenchmarkError: if it does not hold within :data:`DEADLINE`.
    """
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise BenchmarkError(f"waited {DEADLINE:g} s in vain for {what}")
        time.sleep(pause)
