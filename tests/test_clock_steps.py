"""The wall clock moved under a running gateway with workers: limits, retries and restarts do not follow it."""

from __future__ import annotations

import os
import signal
import socket
import time
from datetime import datetime
from typing import Any

from tests.clock_steps import WallClock, forget_clocks
from tests.installation import ECHO, Installation
from tests.lab_with_workers import END_OF_GREETING, PORT, Client, WorkersTestCase
from tests.support import new_folder, read_to_end, wait_for

IDLE = 3.0
"""Seconds of silence that sessions are allowed."""

LATE = 8.0
"""Seconds by which their end may be late: time limits go by the second, and two processors are shared by many."""

HOUR = 3600


def wall_time(text: str) -> float:
    """A time as the log and the status have it, in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


class SteppedClockTests(WorkersTestCase):
    """One real twistd with two workers, all of whose processes see the wall clock move."""

    def setUp(self) -> None:
        """A wall clock that is right so far."""
        self.clock = WallClock(new_folder(self))
        self.environment = self.clock.environment
        # After all processes: they are killed by clean-ups that come later, and are called before.
        self.addCleanup(forget_clocks)

    def sessions(self, lab: Installation, number: int) -> list[Client]:
        """So many clients that have been greeted."""
        clients = self.clients(lab.ports[ECHO], number)
        for client in clients:
            client.read_until(END_OF_GREETING)
        return clients

    async def ends_in_time(self, lab: Installation, clients: list[Client], last_word: float, logged: int) -> None:
        """
        Wait for the end of silent sessions.

        :param last_word: when they last said something, by the monotonic clock.
        :param logged: how many lines of the access log stood there before.
        """
        for client in clients:
            read_to_end(client.socket)
            silence = time.monotonic() - last_word
            self.assertTrue(IDLE - 0.1 <= silence <= IDLE + LATE, f"ended after {silence} s of silence")
        lines = (await self.lines(lab, logged + len(clients)))[logged:]
        self.assertEqual({line["ending"] for line in lines}, {"idle"}, lines)

    def assert_wall_time(self, line: dict[str, Any], offset: int, before: float) -> None:
        """A log line whose connection came since a moment of the true time has the wall clock's time of it."""
        accepted = wall_time(line["time"]) - offset
        self.assertTrue(before - 0.1 <= accepted <= time.time(), f"{line['time']} is {accepted - before:+} s off")

    async def steps(self, offset: int) -> None:
        """Sessions before and after a step of the clock, with every limit, retry and restart at work."""
        lab = await self.start(idle=f"{IDLE:g}s", poll="100ms")
        before = time.time()
        old = self.sessions(lab, 6)
        self.clock.step(offset)
        at_step = time.time()
        new = self.sessions(lab, 6)
        for client in (*old, *new):
            client.echoes(b"still here")
        last_word = time.monotonic()
        await self.ends_in_time(lab, [*old, *new], last_word, 0)
        for line in lab.log():
            self.assertTrue(IDLE <= line["duration"] <= IDLE + LATE + 2, line)
        by_time = sorted(lab.log(), key=lambda line: abs(wall_time(line["time"]) - at_step))
        for line in by_time[:6]:
            self.assert_wall_time(line, 0, before)
        for line in by_time[6:]:
            self.assert_wall_time(line, offset, at_step)
        await self.routes_follow(lab, offset)
        await self.workers_are_replaced(lab)
        self.assertNotIn("Traceback", lab.process.stderr)
        self.assertEqual(await lab.stop(), 0)

    async def routes_follow(self, lab: Installation, offset: int) -> None:
        """A new route is read, its port, taken at first, is tried again, and the status has the wall clock's time."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            (lab.routes / "40-further.yaml").write_text(PORT.format(port=port, target=lab.ports[2701]))
            await self.state(lab, "the port that is taken", lambda status: bool(status["problems"]))
        status = await self.state(lab, "the port", lambda status: not status["problems"])
        self.assertLess(abs(wall_time(status["updated"]) - offset - time.time()), 30)
        self.clients(port, 1)[0].read_until(END_OF_GREETING)

    async def workers_are_replaced(self, lab: Installation) -> None:
        """A worker that is killed is replaced at once, and a second time after a second; the wait is bounded."""
        dead: list[int] = []
        for _ in range(2):
            dead.append(await self.pid(lab, 1, but=dead))
            os.kill(dead[-1], signal.SIGKILL)
        await self.pid(lab, 1, but=dead)
        await wait_for(lambda: lab.status()["live_generation"] == 2, "the routes in the new worker")
        self.sessions(lab, 6)

    async def test_back(self) -> None:
        """Moved back an hour, it takes no longer than before until something is due."""
        await self.steps(-HOUR)

    async def test_forward(self) -> None:
        """Moved forward two hours, nothing is due that was not before."""
        await self.steps(2 * HOUR)
