"""Tests of :mod:`meshgate.processes.upgrade`: both processes of an upgrade, with a new one that fails in all ways."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes import handover, upgrade
from meshgate.processes.handover import HandoverError, HandoverSocket, Kind, ListeningAddress, Message
from meshgate.processes.upgrade import VARIABLE, WITHIN, Command, Heir, Upgrade, heir_in

ADDRESS = ListeningAddress(service=False, bind="127.0.0.1", port=443)


class FakeReactor(Clock):
    """Times, readers that the test calls, and a process that does not exist: the test plays it at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.environment: Mapping[str, str] = {}
        self.child = -1
        self.signals: list[str] = []
        self.protocols: list[Any] = []
        self.pid = 4711
        self.fault: OSError | None = None

    def spawnProcess(self, protocol: Any, *arguments: Any, childFDs: Mapping[int, int]) -> Any:
        """Keep a copy of the descriptor that the process would get."""
        if self.fault is not None:
            raise self.fault
        self.protocols.append(protocol)
        self.environment = arguments[2]
        self.child = os.dup(childFDs[int(self.environment[VARIABLE])])
        return self

    def signalProcess(self, number: str) -> None:
        """Note a signal."""
        self.signals.append(number)

    def addReader(self, reader: Any) -> None:
        """Note a reader."""
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        """Forget a reader."""
        self.readers.remove(reader)

    def read(self) -> None:
        """Have the readers read what is there."""
        for reader in tuple(self.readers):
            while reader in self.readers:
                before = len(self.readers)
                if not _has_input(reader.fileno()):
                    break
                reader.doRead()
                if len(self.readers) < before:
                    break


def _has_input(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as peek:
        peek.setblocking(False)
        try:
            peek.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            pass
        return True


class Program:
    """A program to be replaced, which notes what happens to it."""

    def __init__(self, shares: Iterable[tuple[ListeningAddress, Sequence[int]]] = ()) -> None:
        self.happened: list[Any] = []
        self.why_not = ""
        self.frozen: Deferred[None] = succeed(None)
        self._shares = shares

    def obstacle(self) -> str:
        """As Predecessor."""
        return self.why_not

    def begun(self) -> Mapping[str, str]:
        """As Predecessor."""
        return {"FROM_BEFORE": "1"}

    def freeze(self) -> Deferred[None]:
        """As Predecessor."""
        self.happened.append("frozen")
        return self.frozen

    def shares(self) -> Iterable[tuple[ListeningAddress, Sequence[int]]]:
        """As Predecessor."""
        return self._shares

    def unhealthy(self) -> Mapping[str, str]:
        """As Predecessor."""
        return {"192.0.2.1:80": "refused"}

    def locks(self) -> Mapping[str, int]:
        """As Predecessor."""
        return {"state": 0}

    def failed(self, reason: str) -> None:
        """As Predecessor."""
        self.happened.append(reason)

    def replaced(self, pid: int, kept: frozenset[ListeningAddress], workers: int) -> None:
        """As Predecessor."""
        self.happened.append((pid, kept, workers))


class UpgradeTests(SynchronousTestCase):
    """The old process."""

    def setUp(self) -> None:
        """A program, and a listening socket of its own."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        self.name = listening.getsockname()
        self.reactor = FakeReactor()
        self.program = Program([(ADDRESS, [listening.fileno()])])
        self.upgrade = Upgrade(self.reactor, Command(["python", "twistd"], Path("/")), self.program)

    def begun(self) -> HandoverSocket:
        """Begin; gives the end of the new process."""
        self.upgrade.begin()
        end = HandoverSocket(socket.socket(fileno=self.reactor.child))
        end.blocks_for(5)
        self.addCleanup(end.close)
        return end

    def failed(self, text: str) -> None:
        """Check that the upgrade has failed for this reason, the process was killed, and another one may begin."""
        self.assertIn(text, str(self.program.happened[-1]))
        self.assertEqual(self.reactor.signals, ["KILL"])
        self.assertFalse(self.upgrade.running)
        self.assertEqual(self.reactor.readers, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_success(self) -> None:
        """The new process gets everything, in order, and becomes the only one when it serves, and not before."""
        self.upgrade.begin()
        self.assertEqual(self.reactor.environment["FROM_BEFORE"], "1")
        heir = heir_in(environment := {VARIABLE: str(self.reactor.child)})
        self.assertEqual(environment, {})
        assert heir is not None
        found: list[upgrade.Inheritance] = []

        # The heir blocks, so the old process answers before it asks.
        heir._socket.send(Message(kind=Kind.READY))
        self.reactor.read()
        with patch.object(heir._socket, "send"):
            found.append(heir.take())
        (sockets,) = found[0].sockets.values()
        self.assertEqual([each.getsockname() for each in sockets], [self.name])
        self.assertEqual(list(found[0].locks), ["state"])
        self.assertEqual(found[0].unhealthy, {"192.0.2.1:80": "refused"})
        self.assertEqual(self.program.happened, ["frozen"])
        over: list[bool] = []
        heir.serve(self.reactor, [ADDRESS], 3, lambda: over.append(True))
        self.assertEqual(over, [])
        self.reactor.read()
        self.assertEqual(self.program.happened[1:], [(4711, frozenset({ADDRESS}), 3)])
        self.reactor.read()
        self.assertEqual(over, [True])
        self.assertEqual((self.reactor.signals, self.reactor.readers, self.reactor.getDelayedCalls()), ([], [], []))
        for each in sockets:
            each.close()
        os.close(found[0].locks["state"])

    def test_an_end_at_any_moment(self) -> None:
        """A new process that ends before it serves changes nothing, frozen or not."""
        for sends in ([], [Kind.READY], [Kind.READY, Kind.KEPT]):
            self.setUp()
            end = self.begun()
            for kind in sends:
                end.send(Message(kind=kind, address=ADDRESS if kind is Kind.KEPT else None))
                self.reactor.read()
            end.close()
            self.reactor.read()
            self.failed("is gone")

    def test_a_reason(self) -> None:
        """A new process that says why it cannot start is quoted."""
        end = self.begun()
        end.send(Message(kind=Kind.FAILED, reason="the settings are broken"))
        self.reactor.read()
        self.assertEqual(self.program.happened, ["the settings are broken"])
        self.failed("the settings are broken")

    def test_too_slow(self) -> None:
        """A new process that does not serve in time is killed, be it before or after it has the sockets."""
        for asks in (False, True):
            self.setUp()
            end = self.begun()
            if asks:
                end.send(Message(kind=Kind.READY))
                self.reactor.read()
            self.reactor.advance(WITHIN)
            self.failed("did not serve within 120 s")

    def test_another_version(self) -> None:
        """A new process with another form of the handover is refused."""
        end = self.begun()
        with patch.object(handover, "VERSION", 7):
            end.send(Message(kind=Kind.READY))
        self.reactor.read()
        self.failed("hands over by version 7, and this one by 1")

    def test_out_of_turn(self) -> None:
        """A process that says that it serves, but has no socket, does not replace anybody."""
        end = self.begun()
        end.send(Message(kind=Kind.SERVING, workers=1))
        self.reactor.read()
        self.assertEqual(self.program.happened, [])
        self.reactor.advance(WITHIN)
        self.failed("did not serve")

    def test_one_at_a_time(self) -> None:
        """A second upgrade does not begin while one is running, and may begin once that has failed."""
        end = self.begun()
        child = self.reactor.child
        self.upgrade.begin()
        self.assertEqual(self.reactor.child, child)
        end.close()
        self.reactor.read()
        self.failed("is gone")
        self.begun()
        self.assertTrue(self.upgrade.running)
        self.upgrade.abandon()
        self.assertEqual(self.program.happened[-1], "this process is about to end")

    def test_a_late_end(self) -> None:
        """The end of a killed process that is told after the next upgrade has begun is not that of the next one."""
        self.begun().send(Message(kind=Kind.FAILED, reason="broken"))
        self.reactor.read()
        end = self.begun()
        end.send(Message(kind=Kind.READY))
        self.reactor.read()
        self.reactor.protocols[0].processEnded(None)
        end.send(Message(kind=Kind.SERVING, workers=1))
        self.reactor.read()
        self.assertEqual(self.program.happened[-1], (4711, frozenset(), 1))

    def test_a_late_freeze(self) -> None:
        """What an upgrade that has failed was still waiting for gives nothing to the next new process."""
        late = self.program.frozen = Deferred()
        self.begun().send(Message(kind=Kind.READY))
        self.reactor.read()
        self.reactor.advance(WITHIN)
        end = self.begun()
        late.callback(None)
        end.blocks_for(0)
        self.assertRaises(BlockingIOError, end.receive)

    def test_obstacles(self) -> None:
        """Process 1 refuses, and so does a program that has a reason, or a command that would not lead to the same."""
        with patch.object(os, "getpid", return_value=1):
            self.upgrade.begin()
        self.assertIn("this is process 1", self.program.happened[-1])
        self.program.why_not = "not now"
        self.upgrade.begin()
        self.assertEqual(self.program.happened[-1], "not now")
        Upgrade(self.reactor, Command([], Path(), "no rights"), self.program).begin()
        self.assertEqual(self.program.happened[-1], "no rights")
        self.reactor.fault = OSError(12, "Cannot allocate memory")
        self.program.why_not = ""
        self.upgrade.begin()
        self.assertIn("could not be started: Cannot allocate memory", self.program.happened[-1])
        self.assertEqual((self.reactor.child, self.upgrade.running), (-1, False))

    def test_it_fails_while_it_freezes(self) -> None:
        """A process that ends while the old one still freezes gets nothing, and is forgotten."""
        self.program.frozen = Deferred()
        end = self.begun()
        end.send(Message(kind=Kind.READY))
        self.reactor.read()
        end.close()
        self.reactor.read()
        self.failed("is gone")
        self.program.frozen.callback(None)
        self.assertEqual(self.flushLoggedErrors(), [])


class HeirTests(SynchronousTestCase):
    """The new process."""

    def setUp(self) -> None:
        """Both ends."""
        old, new = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.old = HandoverSocket(old)
        self.heir = Heir(new.detach())
        self.addCleanup(self.old.close)
        self.addCleanup(self.heir._socket.close)

    def test_no_heir(self) -> None:
        """An ordinary start, and a variable that is nonsense, make none."""
        for environment in ({}, {VARIABLE: ""}, {VARIABLE: "x"}, {VARIABLE: "9999"}):
            self.assertIsNone(heir_in(environment))
            self.assertNotIn(VARIABLE, environment)

    def test_what_the_old_process_may_not_say(self) -> None:
        """Anything but sockets and locks is an error."""
        for message in (Message(kind=Kind.OVER), Message(kind=Kind.SOCKET), Message(kind=Kind.LOCKS, locks=("state",))):
            self.old.send(message, [0])
            if message.kind is Kind.LOCKS:
                self.old.send(message)
                os.close(self.heir.take().locks["state"])
            self.assertRaises(HandoverError, self.heir.take)

    def test_the_old_process_ends(self) -> None:
        """Before the handover that is an error; after it, this process is the only one."""
        reactor, over = FakeReactor(), list[bool]()
        self.old.close()
        self.assertRaises(HandoverError, self.heir.take)
        self.heir.fail("nobody hears this")
        self.heir.serve(reactor, [ADDRESS], 1, lambda: over.append(True))
        reactor.read()
        self.assertEqual(over, [True])
