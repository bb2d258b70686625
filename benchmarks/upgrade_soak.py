"""
A soak of upgrades: a gateway is replaced by its next version and reads everything again, under load, again and again.

Short connections come at a steady rate and are all verified; sessions go on over an upgrade, and are verified behind
it. Each upgrade has another number of workers. Not one connection may be refused, cut or logged with another ending
than ``ok``. At last, a gateway with many sessions is drained, which have to be ended one after the other. Run it as
``python -m benchmarks.upgrade_soak``; it prints the figures, and exits with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.gateways import ACCESS_LOG, Choice, prepare, started
from benchmarks.processes import ROOT, BenchmarkError, Load, backend, build, free_port, wait_until
from benchmarks.soak import endings
from meshgate.state.folder import holder
from tests.hello_builder import build_hello

RATE = 500
"""Connections a second."""

WORKERS = (2, 3, 1, 4, 2, 1)
"""The number of workers after one upgrade after the other."""

SESSIONS = 20
"""Sessions that go on over each upgrade."""

NAMES = 10
MESSAGE = 64
READ_AGAIN = "everything was read again"


class Session:
    """A connection that stays."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.sendall(build_hello("n000000.example.com"))
        self._expect(b"A")
        self.echo()

    def echo(self) -> None:
        """
        Send a message, and expect it again.

        :raises BenchmarkError: if it does not come.
        """
        message = b"E".ljust(MESSAGE, b"\0")
        self._socket.sendall(message)
        self._expect(message)

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it in order, and wait for the end of the other side."""
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(MESSAGE):
            pass
        self._socket.close()

    def _expect(self, begin: bytes) -> None:
        answer = self._socket.recv(MESSAGE, socket.MSG_WAITALL)
        if len(answer) < MESSAGE or not answer.startswith(begin):
            raise BenchmarkError(f"a session was cut, after {len(answer)} bytes")


class Upgrades:
    """
    The upgrades of one gateway.

    :param folder: its files.
    :ivar seconds: the time that each upgrade took.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self.seconds: list[float] = []
        self.sessions = 0

    def pid(self) -> int:
        """The control process."""
        return int(holder(self._folder / "state").facts["pid"])

    def round(self, workers: int) -> None:
        """
        Upgrade once with sessions, and read everything again.

        :raises BenchmarkError: if that fails, or a session notices.
        """
        sessions = [Session(self._port) for _ in range(SESSIONS)]
        settings = self._folder / "meshgate.yaml"
        settings.write_text(settings.read_text().rpartition("workers:")[0] + f"workers: {workers}\n")
        command = [sys.executable, "-m", "meshgate", "upgrade", "--config", str(settings)]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        self.seconds.append(time.monotonic() - began)
        if done.returncode:
            raise BenchmarkError(f"the upgrade has failed: {done.stderr}{self._output()}")
        for each in sessions:
            each.echo()
        self._read_again()
        for each in sessions:
            each.echo()
            each.close()
        self.sessions += SESSIONS

    def _read_again(self) -> None:
        before = self._output().count(READ_AGAIN)
        os.kill(self.pid(), signal.SIGHUP)
        wait_until(lambda: self._output().count(READ_AGAIN) > before, "the reload")

    def _output(self) -> str:
        return (self._folder / "output").read_text(errors="replace")


def soaked(workers: Sequence[int], rate: int = RATE) -> str:
    """
    Upgrade once for each number of workers, under load.

    :return: the figures, for people.
    :raises BenchmarkError: if a connection was refused or cut, or an upgrade failed.
    """
    with backend() as target, tempfile.TemporaryDirectory(prefix="meshgate-upgrade-") as name:
        folder, port = Path(name), free_port()
        prepare(folder, port, target, Choice(workers=workers[-1]), NAMES)
        settings = folder / "meshgate.yaml"
        settings.write_text("drain: {time: 10m}\n" + settings.read_text())
        twistd = Path(sys.executable).with_name("twistd")
        with started("meshgate", twistd, folder, port, {"PYTHONPATH": str(ROOT)}, workers[-1]) as server:
            wait_until(lambda: "serve" in (folder / "output").read_text(), "the workers")
            upgrades, reports = Upgrades(folder, server.port), list[dict[str, Any]]()
            over = threading.Event()
            failures: list[BenchmarkError] = []

            def load() -> None:
                # In runs of a second, without a pause, until the upgrades are over.
                try:
                    while not over.is_set():
                        options = {"count": rate * 2, "names": NAMES, "rate": rate, "concurrent": rate}
                        with Load("connections", server.port, **options) as one:
                            one.prepare()
                            reports.append(one.work())
                except BenchmarkError as error:
                    failures.append(error)

            thread = threading.Thread(target=load)
            thread.start()
            began = time.monotonic()
            try:
                for number in workers:
                    upgrades.round(number)
            finally:
                over.set()
                thread.join()
            seconds = time.monotonic() - began
            if failures:
                raise failures[0]
            done = sum(report["done"] for report in reports)
            expected = done + upgrades.sessions
            log = folder / ACCESS_LOG
            wait_until(lambda: endings(log).total() > expected, "the lines of the access log")
            logged = endings(log)
            # The look whether the port is open, which says nothing, is the only other one.
            if logged["ok"] != expected or logged.total() != expected + 1:
                raise BenchmarkError(f"{expected} connections, but these endings: {json.dumps(logged)}")
            slowest = max(report["latency_us"]["max"] for report in reports) / 1000
            return (
                f"{done} connections at {rate}/s and {upgrades.sessions} sessions over {len(workers)} upgrades and "
                f"{len(workers)} reloads in {seconds:.0f} s: none failed; an upgrade took "
                f"{max(upgrades.seconds):.1f} s at most, a connection {slowest:.0f} ms"
            )


def drained(count: int, seconds: int) -> str:
    """
    Drain a gateway that has sessions, all of which stay, and see when each is ended.

    :param count: number of sessions.
    :param seconds: the time of the drain; sessions are ended in its second half.
    :return: the figures, for people.
    :raises BenchmarkError: if a session was ended before or after its time, or many at once.
    """
    with backend() as target, tempfile.TemporaryDirectory(prefix="meshgate-drain-") as name:
        folder, port = Path(name), free_port()
        prepare(folder, port, target, Choice(workers=2), NAMES)
        settings = folder / "meshgate.yaml"
        settings.write_text(f"drain: {{time: {seconds}s}}\n" + settings.read_text())
        twistd = Path(sys.executable).with_name("twistd")
        with started("meshgate", twistd, folder, port, {"PYTHONPATH": str(ROOT)}, 2) as server:
            sessions = [Session(server.port) for _ in range(count)]
            poll = select.poll()
            for each in sessions:
                poll.register(each.fileno(), select.POLLIN)
            began, ends = time.monotonic(), list[float]()
            os.kill(server.pid, signal.SIGTERM)
            while len(ends) < count:
                ready = poll.poll(2_000 * seconds)
                if not ready:
                    raise BenchmarkError(f"{count - len(ends)} sessions were not ended")
                for descriptor, _ in ready:
                    poll.unregister(descriptor)
                    ends.append(time.monotonic() - began)
            # The last lines are written when the last session has ended; one more is of the look at the open port.
            wait_until(lambda: endings(folder / ACCESS_LOG).total() > count, "the lines of the access log")
            logged = endings(folder / ACCESS_LOG)
    in_each = Counter(int(end * 10 / seconds) for end in ends)
    pause = max(after - before for before, after in pairwise(ends))
    figures = (
        f"{count} sessions, drained in {seconds} s: the first was ended after {ends[0]:.1f} s, the last after "
        f"{ends[-1]:.1f} s; in each tenth of the time {', '.join(str(in_each[tenth]) for tenth in range(11))}; "
        f"the longest pause was {pause:.2f} s"
    )
    fair = count / 5
    even = all(0.7 * fair <= in_each[tenth] <= 1.3 * fair for tenth in range(5, 10))
    if logged["drained"] != count or any(in_each[tenth] for tenth in range(5)) or not even:
        raise BenchmarkError(f"{figures}; endings: {json.dumps(logged)}")
    return figures


def main() -> int:
    """Run it; gives the exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.upgrade_soak", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="runs in a row (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=RATE, help="connections a second (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=1_000, help="sessions of a drain (default: %(default)s)")
    options = parser.parse_args()
    try:
        build(interpreted=True)
        for _ in range(options.times):
            print(soaked(WORKERS, options.rate), flush=True)
        if options.sessions:
            print(drained(options.sessions, 20), flush=True)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
