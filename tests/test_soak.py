"""The soak, in small: connections of all kinds through a real gateway must leave nothing behind."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase, TestCase

from benchmarks import watch_soak
from benchmarks.processes import ROOT
from benchmarks.soak import Soak, State, missed
from benchmarks.soak_kinds import KINDS, mixed
from meshgate.api import watch_window
from meshgate.transport.lean import transport as lean
from tests.support import Program, new_folder, reactor, require_program


class SoakTests(TestCase):
    """``make soak``, which is the same with more connections."""

    timeout = 180

    async def test_nothing_is_left(self) -> None:
        """
        Each of 2,000 connections has its line with the right ending, and no descriptor stays open: though an endpoint
        fails and heals, a route leads back to the gateway, routes and a listener come and go, and the wall clock is
        stepped. The compiled data path serves if these tests run on it.
        """
        for program in ("make", "cc"):
            require_program(program)
        command = [sys.executable, "-m", "benchmarks.soak", "--connections", "2000"]
        if lean.__file__.endswith(".py"):
            command.append("--interpreted")
        soak = Program(self, command, environment={"PYTHONPATH": str(ROOT)})
        self.assertEqual((await soak.exit_status(160), soak.stderr), (0, ""), soak.stdout)
        # Some further connections find out that the endpoint has healed: the slower the machine, the more.
        self.assertRegex(soak.stdout, r"\n2\d{3} lines")
        self.assertRegex(soak.stdout, r"\nthe routes changed [1-9]")
        self.assertRegex(soak.stdout, r"\nthe endpoint failed [1-9]")
        if "the wall clock is not stepped" not in soak.stdout:
            self.assertRegex(soak.stdout, r"\nthe wall clock was stepped [1-9]")


class ApiSoakTests(TestCase):
    """The soak of the API's store, in small."""

    timeout = 180

    async def soaked(self, *options: str) -> str:
        """Run it; returns what it prints."""
        command = [sys.executable, "-m", "benchmarks.api_soak", *options]
        soak = Program(self, command, environment={"PYTHONPATH": str(ROOT)})
        self.assertEqual(await soak.exit_status(160), 0, soak.stdout + soak.stderr)
        return soak.stdout

    async def test_nothing_is_lost(self) -> None:
        """A gateway that is killed at random moments has everything that it has answered, and nothing by half."""
        self.assertRegex(await self.soaked("--applies", "40", "--kills", "2"), r"\n20 objects, \d+ applies, 2 kills\n")

    async def test_the_api_alone(self) -> None:
        """So does the API without a gateway, which starts within a moment and is killed 20 times."""
        printed = await self.soaked("--alone", "--applies", "200", "--kills", "20")
        self.assertRegex(printed, r"\n20 objects, \d+ applies, 20 kills\n")


class WatchSoakTests(TestCase):
    """The soak of the API's watches, in small: with a window that forgets sooner."""

    timeout = 120

    async def test_each_change_once_and_in_order(self) -> None:
        """Ten clients get every change but those that they are told to have missed, across two rounds of forgetting."""
        self.patch(watch_window, "WINDOW", 400)
        self.assertEqual(await watch_soak.soaked(reactor, new_folder(self), 1_000, os.getpid()), [])


class MissedTests(SynchronousTestCase):
    """The checks of the soak."""

    def setUp(self) -> None:
        """A soak of ten good connections, and the state before it."""
        self.soak = Soak(0, b"", 1)
        self.soak.endings.update({"ok": 8, "idle": 2})
        self.before = State(Counter(socket=1, pipe=4, file=3), 1000)

    def points(self, logged: Counter[str], end: State) -> list[str]:
        """The failed checks with these lines, and this state at the end."""
        return list(missed(self.soak, logged, self.before, self.before, end, 1))

    def test_a_good_one(self) -> None:
        """A little memory, and pipes that are kept for later connections, are no fault."""
        end = State(Counter(socket=1, pipe=20, file=3), 1050)
        self.assertEqual(self.points(Counter(ok=8, idle=2), end), [])

    def test_what_is_left(self) -> None:
        """A socket, a pipe too many, and memory are reported."""
        points = self.points(Counter(ok=8, idle=2), State(Counter(socket=2, pipe=21, file=3), 1051))
        self.assertEqual(
            points,
            [
                "2 descriptors of the kind socket, 1 at the start",
                "21 descriptors of the kind pipe, 4 at the start",
                "the memory has grown by 5.1%",
            ],
        )

    def test_lines(self) -> None:
        """A line too few, one too many, one with another ending, and one without any are reported."""
        points = self.points(Counter({"ok": 7, "idle": 2, "no_sni": 1, "-": 1}), self.before)
        self.assertEqual(
            points,
            [
                "1 lines say -, of 0 connections",
                "1 lines say no_sni, of 0 connections",
                "7 lines say ok, of 8 connections",
            ],
        )

    def test_what_a_client_saw(self) -> None:
        """So is a client that saw something unexpected."""
        self.soak.faults["short: TimeoutError "] += 3
        self.assertEqual(self.points(Counter(ok=8, idle=2), self.before), ["3 times short: TimeoutError "])

    def test_the_mixture(self) -> None:
        """Every hundred connections have each kind by its share."""
        self.assertEqual(sum(kind.share for kind in KINDS), 100)
        kinds = Counter(mixed(250, random.Random(1)))
        self.assertEqual(kinds.total(), 250)
        for kind in KINDS:
            self.assertTrue(2 * kind.share <= kinds[kind] <= 3 * kind.share, kind.name)
