"""
An upgrade: a control process starts the next version of itself, and hands over to it.

The problem: no client may notice, whatever happens on the way; and until the new process serves, nobody knows if it
will.

The approach: the process starts the same command line anew, with one end of a socket (:mod:`.handover`). The new one
reads its settings and routes before it asks for anything. Then both hold the same listening sockets, and both accept
on them: only when all workers of the new one serve, the old one stops. So there is no moment without a process that
accepts, and none after which a failure of the new process would matter.

The invariants:

- From the handover of the sockets to the end of the upgrade, the old process changes nothing that both share: it is
  frozen. If the new one fails, ends, or does not serve within :data:`WITHIN` seconds, it is killed, and the old one
  thaws and goes on.
- There is one upgrade at a time.
- Before the old process has said that it is over, the new one tells nobody that it is the gateway: neither the pidfile
  nor the status says so, nor does the service manager hear of it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshgate.processes.handover import (
    MOST_DESCRIPTORS,
    HandoverError,
    HandoverSocket,
    Kind,
    ListeningAddress,
    Message,
    close_all,
)
from meshgate.processes.service_manager import FIRST_DESCRIPTOR, PassedOn, variables_for
from meshgate.processes.signals import held_back

VARIABLE: Final = "MESHGATE_HANDOVER"
"""The variable that tells the new process the descriptor of its end of the socket."""

WITHIN: Final = 120.0
"""Seconds within which the new process has to serve: the start of a large gateway on a busy machine."""

READ_WITHIN: Final = 5.0
"""Seconds within which the new process, which only waits for it, has to read what it gets."""


@dataclass(frozen=True, slots=True)
class Command:
    """
    The command line by which this process was started, for the next one.

    :ivar arguments: with the interpreter as the first one.
    :ivar folder: the folder of its start.
    :ivar passed_on: the descriptors that a service manager has passed on, which go on to the next process.
    :ivar obstacle: why the same start would not lead to the same process, for people; empty if it would.
    """

    arguments: Sequence[str]
    folder: Path
    obstacle: str = ""
    passed_on: Sequence[PassedOn] = ()


def own_command(passed_on: Sequence[PassedOn] = (), obstacle: str = "") -> Command:
    """The command of this process. Call it before anything changes the current folder."""
    return Command([sys.executable, *sys.orig_argv[1:]], Path.cwd(), obstacle, passed_on)


class Predecessor(Protocol):
    """The program that an upgrade replaces, as the upgrade needs it."""

    def obstacle(self) -> str:
        """Tell why there can be no upgrade now, for people; empty if there can."""

    def begun(self) -> Mapping[str, str]:
        """Note the begin of an upgrade. The result is added to the environment of the new process."""

    def freeze(self) -> Deferred[None]:
        """Change nothing any more that the new process is about to share; fires when that is so."""

    def shares(self) -> Iterable[tuple[ListeningAddress, Sequence[int]]]:
        """The listening addresses with the descriptors of their sockets."""

    def unhealthy(self) -> Mapping[str, str]:
        """The endpoints that fail their health checks, each with the reason."""

    def locks(self) -> Mapping[str, int]:
        """The descriptors of locks by their names."""

    def failed(self, reason: str) -> None:
        """Go on as before, if frozen: there is no new process."""

    def replaced(self, pid: int, kept: frozenset[ListeningAddress], workers: int) -> None:
        """End, once nobody needs this process any more: the new one serves, and goes on with these addresses."""


class _NewProcess(ProcessProtocol):
    """
    The new process of one upgrade: the end of one that was killed may be told when the next upgrade has begun.

    :ivar has_ended: True once it has ended; that its end of the socket is closed tells the rest.
    """

    has_ended = False

    def processEnded(self, reason: Failure) -> None:
        """Note the end."""
        self.has_ended = True


class Upgrade:
    """
    The upgrades of this process.

    :param reactor: provides IReactorProcess, IReactorFDSet and IReactorTime.
    :ivar running: True from the begin of an upgrade to its failure; an upgrade that succeeds is the last one.
    """

    _log = Logger()

    def __init__(self, reactor: Any, command: Command, predecessor: Predecessor) -> None:
        self._reactor = reactor
        self._command = command
        self._predecessor = predecessor
        self.running = False
        self._is_over = self._given = False
        self._process: Any = None
        self._protocol = _NewProcess()
        self._socket: HandoverSocket | None = None
        self._deadline: IDelayedCall | None = None
        self._kept: set[ListeningAddress] = set()

    def begin(self) -> None:
        """Start the new process. Nothing happens while an upgrade is running."""
        if self.running:
            self._log.warn("an upgrade is running already; this one is refused")
            return
        self.running, self._given, self._kept = True, False, set()
        passed_on = self._command.passed_on
        number = FIRST_DESCRIPTOR + len(passed_on)
        variables = {**variables_for(passed_on), VARIABLE: str(number)}
        environment = {**os.environ, **self._predecessor.begun(), **variables}
        reason = self._obstacle()
        if reason:
            self._fail(reason)
            return
        self._log.info("the upgrade begins: {command}", command=" ".join(self._command.arguments))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process, self._protocol = None, _NewProcess()
        try:
            with theirs, held_back():
                self._process = self._reactor.spawnProcess(
                    self._protocol,
                    self._command.arguments[0],
                    self._command.arguments,
                    environment,
                    str(self._command.folder),
                    childFDs={
                        **{each: each for each in range(FIRST_DESCRIPTOR)},
                        **{each: one.number for each, one in enumerate(passed_on, FIRST_DESCRIPTOR)},
                        number: theirs.fileno(),
                    },
                )
        except OSError as error:
            ours.close()
            self._fail(f"the new process could not be started: {error.strerror}")
            return
        self._socket = HandoverSocket(ours)
        self._socket.watch(self._reactor, self._received, self._lost)
        self._deadline = self._reactor.callLater(WITHIN, self._fail, f"it did not serve within {WITHIN:g} s")

    def abandon(self) -> None:
        """Kill a new process that does not serve yet: this one ends."""
        if self.running and not self._is_over:
            self._fail("this process is about to end")

    def _obstacle(self) -> str:
        if os.getpid() == 1:
            return (
                "this is process 1, whose number the new process could not keep, and whose end is that of the "
                "container: upgrade by starting a new container"
            )
        return self._command.obstacle or self._predecessor.obstacle()

    # The new process.

    def _lost(self, reason: str) -> None:
        if not self._is_over:
            self._fail(f"the new process cannot take over: {reason}; its log says more")

    def _received(self, message: Message, descriptors: list[int]) -> None:
        close_all(descriptors)  # none is expected
        if message.kind is Kind.READY:
            waiting, done = self._socket, self._predecessor.freeze()
            done.addCallback(lambda _: self._give(waiting)).addErrback(lambda failure: self._fail(str(failure.value)))
        elif message.kind is Kind.KEPT and message.address is not None:
            self._kept.add(message.address)
        elif message.kind is Kind.FAILED:
            self._fail(message.reason)
        elif message.kind is Kind.SERVING and self._given:
            self._succeed(message.workers)

    def _give(self, waiting: HandoverSocket | None) -> None:
        """Send everything."""
        if self._socket is None or self._socket is not waiting:
            return  # it has failed meanwhile, and the next upgrade may have begun
        # The new process does nothing but wait for this, so that this one waits for moments at most.
        self._socket.blocks_for(READ_WITHIN)
        for address, descriptors in self._predecessor.shares():
            for start in range(0, len(descriptors), MOST_DESCRIPTORS):
                chunk = descriptors[start : start + MOST_DESCRIPTORS]
                self._socket.send(Message(kind=Kind.SOCKET, address=address), chunk)
        for endpoint, reason in self._predecessor.unhealthy().items():
            self._socket.send(Message(kind=Kind.UNHEALTHY, endpoint=endpoint, reason=reason))
        locks = self._predecessor.locks()
        self._socket.send(Message(kind=Kind.LOCKS, locks=tuple(locks)), list(locks.values()))
        self._socket.blocks_for(0)
        self._given = True

    def _succeed(self, workers: int) -> None:
        if self._protocol.has_ended:
            return  # it has ended since, and the end of its socket comes next
        self._is_over = True
        self._stop_timer()
        pid = self._process.pid
        self._log.info("process {pid} serves, and takes over", pid=pid)
        self._predecessor.replaced(pid, frozenset(self._kept), workers)
        if self._socket is not None:
            with suppress(OSError):  # it reads that this end is closed, which means the same
                self._socket.send(Message(kind=Kind.OVER))
            self._socket.close()

    def _fail(self, reason: str) -> None:
        if not self.running or self._is_over:
            return
        self._stop_timer()
        # In this order: a process that serves takes the end of the socket for the end of this one.
        if self._process is not None:
            with suppress(ProcessExitedAlready):
                self._process.signalProcess("KILL")
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.running = False
        self._log.error("the upgrade has failed, and this process goes on: {reason}", reason=reason)
        self._predecessor.failed(reason)

    def _stop_timer(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


@dataclass
class Inheritance:
    """
    What the process before has handed over.

    :ivar sockets: the listening sockets of each address.
    :ivar unhealthy: the endpoints that fail their health checks, each with the reason.
    :ivar locks: the descriptors of locks by their names.
    """

    sockets: dict[ListeningAddress, list[socket.socket]] = field(default_factory=dict)
    unhealthy: dict[str, str] = field(default_factory=dict)
    locks: dict[str, int] = field(default_factory=dict)


class Heir:
    """
    The new process of an upgrade.

    :param descriptor: the number of its end of the socket.
    """

    def __init__(self, descriptor: int) -> None:
        end = socket.socket(fileno=descriptor)
        end.settimeout(WITHIN)  # the old process may have to finish the compiling of many routes first
        self._socket = HandoverSocket(end)

    def take(self) -> Inheritance:
        """
        Take what the process before has.

        :raises HandoverError: if it does not give it.
        """
        found = Inheritance()
        try:
            self._socket.send(Message(kind=Kind.READY))
            while True:
                message, descriptors = self._socket.receive()
                if message.kind is Kind.SOCKET and message.address is not None:
                    sockets = [socket.socket(fileno=each) for each in descriptors]
                    found.sockets.setdefault(message.address, []).extend(sockets)
                elif message.kind is Kind.UNHEALTHY and not descriptors:
                    found.unhealthy[message.endpoint] = message.reason
                elif message.kind is Kind.LOCKS and len(message.locks) == len(descriptors):
                    found.locks = dict(zip(message.locks, descriptors, strict=True))
                    return found
                else:
                    close_all(descriptors)
                    raise HandoverError(f"the process before sent {message.kind.value!r} out of turn")
        except OSError as error:
            raise HandoverError(f"the process before does not answer: {error.strerror or error}") from None

    def serve(self, reactor: Any, kept: Iterable[ListeningAddress], workers: int, over: Callable[[], None]) -> None:
        """
        Tell that all workers serve.

        :param kept: the addresses whose sockets are in use here.
        :param over: called when the process before has stopped accepting, or is gone.
        """
        try:
            for address in kept:
                self._socket.send(Message(kind=Kind.KEPT, address=address))
            self._socket.send(Message(kind=Kind.SERVING, workers=workers))
        except OSError:
            pass  # it is gone, which the socket tells, too

        def received(message: Message, descriptors: list[int]) -> None:
            close_all(descriptors)
            if message.kind is Kind.OVER:
                self._socket.close()
                over()

        self._socket.watch(reactor, received, lambda reason: over())

    def fail(self, reason: str) -> None:
        """Tell that this process cannot start, and why."""
        with suppress(OSError):
            self._socket.send(Message(kind=Kind.FAILED, reason=reason))


def heir_in(environment: MutableMapping[str, str]) -> Heir | None:
    """
    The role of this process in an upgrade; None if it is an ordinary start.

    :param environment: loses the variable, so that no child takes itself for the heir.
    """
    number = environment.pop(VARIABLE, "")
    if not number.isdigit():
        return None
    try:
        return Heir(int(number))
    except OSError:
        return None  # the variable was left by somebody else
