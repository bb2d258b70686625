"""
The start of a program under twistd: its pidfile, its log, its way to the background, and the report of a failure.

The problem: twistd refuses to start if any process has the number in a pidfile, and its parent waits forever if the
child ends by anything but an Exception.

The approach: twistd always believes that it stays in the foreground. This module forks before anything is opened. The
process that was started waits for one byte on a pipe of which only the program in the background has the other end:
the byte says how the start went, and an end of file that the program ended before.

The invariants: the message of a start that fails goes, whole, to the standard error of the process that was started,
and to the log; its exit status is then 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals as Number
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

from twisted.application.service import IService, MultiService
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorDaemonize
from twisted.logger import ILogObserver, Logger

from meshgate.processes.log_file import LogFile
from meshgate.processes.pidfile import OwnPidfile, PidfileError
from meshgate.processes.service_log import ServiceLog
from meshgate.processes.service_manager import PassedOn, take_passed_on
from meshgate.processes.signals import Signals, restore_defaults

if TYPE_CHECKING:
    from meshgate.processes.upgrade import Command, Heir

DEFAULT_LOG: Final = "twistd.log"
"""The name of the log file in the background."""

STARTED: Final = b"0"
FAILED: Final = b"1"
"""The bytes by which the program reports its start. Before FAILED, it has written its message."""

AT_ONCE_WITHIN: Final = 5.0
"""Seconds within which a program has to end that is to end at once."""


Result = TypeVar("Result")


class StartError(Exception):
    """The program cannot start. The message is for people."""


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Duties:
    """
    The actions of a program on signals, beside those of any program.

    :ivar end_at_once: wait for nothing while ending. Called before or while the service stops.
    :ivar reopen_logs: reopen the files that are written to, except the program's own log.
    :ivar reload: read everything again, and reopen the logs.
    :ivar upgrade: start the next version, and hand over to it.
    """

    end_at_once: Callable[[], None] = _nothing
    reopen_logs: Callable[[], None] = _nothing
    reload: Callable[[], None] = _nothing
    upgrade: Callable[[], None] = _nothing


class Launch:
    """
    The start of a program, from the reading of its options to the running reactor.

    :param twistd: the options of twistd itself.
    :param name: the name of the program, with which its messages begin.
    :ivar background: True if the program is to run in the background.
    :ivar signals: the signals of the process.
    :ivar log: the program's log, unless ``--logger`` or ``--syslog`` of twistd asks for another one.
    :ivar log_file: its file, if it has one.
    :ivar passed_on: the descriptors that a service manager has passed on.
    :ivar pidfile: the pidfile of this process.
    :ivar command: the command line of the next version in an upgrade.
    :ivar heir: the role of this process in an upgrade that another one has begun; None if it is an ordinary start.
    :ivar end: ends the program as SIGTERM does, once :meth:`run` was called.
    """

    _log = Logger()

    def __init__(self, twistd: Any, name: str) -> None:
        self._twistd = twistd
        self._name = name
        self.background = not (twistd["nodaemon"] or twistd["debug"])
        self.signals = Signals()
        self.log_file: LogFile | None = None
        self.log: ServiceLog | None = None
        self._log_is_stderr = False
        self.passed_on: Sequence[PassedOn] = ()
        self.pidfile = OwnPidfile(twistd)
        self._ending = False
        self._gave_up = False
        self._errors = 2
        self._answer: int | None = None
        self.heir: Heir | None = None
        self.command: Command | None = None
        self.end: Callable[[], None] = _nothing

    def prepare(self) -> None:
        """
        Handle signals from now on, take what a service manager has passed on, and check the pidfile; in the foreground
        there is none unless an option names it.

        :raises SystemExit: with a message if the process of the pidfile runs, or if the file cannot be written.
        """
        self.signals.install()
        from meshgate.processes.upgrade import heir_in, own_command  # takes a while, and signals are handled by now

        self.heir = heir_in(os.environ)
        try:
            self.passed_on = take_passed_on(os.environ, from_parent=self.heir is not None)
        except ValueError as error:
            raise SystemExit(f"{self._name}: socket activation: {error}") from None
        twistd = self._twistd
        changed = [f"--{each}" for each in ("uid", "gid", "chroot") if twistd[each] is not None]
        why = f"the new process would lack the rights that {' and '.join(changed)} of twistd took away"
        self.command = own_command(self.passed_on, why if changed else "")
        try:
            left_by = self.pidfile.prepare(in_background=self.background, inherited=self.heir is not None)
        except PidfileError as error:
            raise SystemExit(f"{self._name}: {error}") from None
        if left_by is not None:
            whose = f"process {left_by}" if left_by else "an interrupted start"
            self._log.warn(
                "removed the pidfile {path}, which {whose} left behind", path=str(self.pidfile.path), whose=whose
            )
        if not (twistd["chroot"] or os.path.isdir(twistd["rundir"])):
            raise SystemExit(f"{self._name}: the folder {twistd['rundir']} of --rundir does not exist")
        if self.background and twistd["logfile"] == "-":
            raise SystemExit(f"{self._name}: there is no standard output in the background; name a file by --logfile")

    def begin(self, reactor: Any, in_foreground: Any) -> None:
        """
        Open the log, and go to the background if the options say so. The process that was started then never returns
        from here: it waits until the program in the background has started, and exits.

        :param in_foreground: the stream for the log in the foreground, unless the options name another.
        :raises SystemExit: with a message if the log cannot be opened, or if the system has no room for a process.
        """
        twistd = self._twistd
        if not (twistd["logger"] or twistd["syslog"]):
            stream: Any = in_foreground
            if twistd["logfile"] == "-":
                stream = sys.stdout
            elif twistd["logfile"] or self.background:
                stream = self.log_file = self._open_log(Path(twistd["logfile"] or DEFAULT_LOG).absolute())
            self._log_is_stderr = stream is in_foreground
            self.log = ServiceLog(stream, self._name)
        if self.background and self.heir is not None:
            self._stay_in_background()  # where the process before was, too
        elif self.background:
            try:
                self._go_to_background(reactor)
            except OSError as error:
                raise SystemExit(f"{self._name}: there is no way to the background: {error.strerror}") from None

    def run(self, service: IService, reactor: Any, duties: Duties | None = None) -> IService:
        """
        Make the service the whole program.

        :param service: its start may raise :exc:`StartError`.
        :param duties: its actions on signals.
        """
        duties = duties or Duties()

        def end() -> None:
            if self._ending:
                reactor.callLater(AT_ONCE_WITHIN, self._exit_at_last)
                duties.end_at_once()
            self._ending = True
            try:
                reactor.stop()
            except ReactorNotRunning:
                pass  # it is ending already

        self.end = end

        def end_at_once() -> None:
            self._ending = True
            end()

        def reopen_logs() -> None:
            self._reopen_log()
            duties.reopen_logs()

        def reload() -> None:
            self._reopen_log()
            duties.reload()

        actions = {
            Number.SIGTERM: end,
            **dict.fromkeys((Number.SIGINT, Number.SIGQUIT), end_at_once),
            Number.SIGHUP: reload,
            Number.SIGUSR1: reopen_logs,
            Number.SIGUSR2: duties.upgrade,
        }
        return cast("IService", _Program(self, service, reactor, actions))

    def attempt(self, step: Callable[[], Result]) -> Result:
        """
        Do a step of the start, and give up if it fails.

        :param step: may raise :exc:`StartError`. Any other exception is a bug, which twistd reports in the foreground.
        :return: the result of the step.
        :raises SystemExit: if the step fails.
        """
        try:
            return step()
        except StartError as error:
            self.fail(f"{self._name}: {error}")
        except BaseException as error:
            if not self.background or self._gave_up:
                raise
            self._early_log().failure("the start has failed")
            self.fail(f"{self._name}: {type(error).__name__}: {error}{self._see_log()}")

    def fail(self, message: str) -> NoReturn:
        """
        Give up the start. The message goes to standard error, and to the log, if that is not the same stream.

        :raises SystemExit: with status 1.
        """
        if not self._log_is_stderr:
            self._early_log().critical("{message}", message=message)
        self._give_up(message)
        raise SystemExit(1)

    def _reopen_log(self) -> None:
        if self.log_file is None:
            return
        try:
            self.log_file.reopen()
        except OSError as error:
            self._log.error(
                "the log {path} cannot be opened anew, so the old file stays in use: {reason}",
                path=str(self.log_file.path),
                reason=error.strerror,
            )
        else:
            self._log.info("the log was opened anew")

    # For the program.

    def give_log_to(self, application: Any) -> None:
        """Have twistd log to the log that was opened."""
        if self.log is not None:
            application.setComponent(ILogObserver, self.log)

    def start(self, start: Callable[[], None]) -> None:
        """
        Start the service.

        :raises SystemExit: if that fails.
        """
        if self.signals.asked_to_end:
            self._give_up(f"{self._name}: ended by a signal before it had started")
            raise SystemExit(0)
        # If the reactor itself fails, twistd leaves a file with the reason only for programs in the background.
        self._twistd["nodaemon"] = not self.background
        self.attempt(start)
        self.signals.hold_back()

    def started(self) -> None:
        """Report that the program has started: the reactor runs."""
        self._report(STARTED)

    def _open_log(self, path: Path) -> LogFile:
        try:
            return LogFile(path)
        except OSError as error:
            why = error.strerror if path.parent.is_dir() else "its folder does not exist"
            raise SystemExit(f"{self._name}: the log {path} cannot be opened: {why}") from None

    def _go_to_background(self, reactor: Any) -> None:
        daemonizes = IReactorDaemonize.providedBy(reactor)
        if daemonizes:
            reactor.beforeDaemonize()
        waits, answers = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        if os.fork():
            os.close(answers)
            self._wait(waits)
        os.close(waits)
        os.setsid()
        if os.fork():
            os._exit(0)
        self._answer = answers
        null = os.open(os.devnull, os.O_RDWR)
        self._errors = _copy(2, instead=null)
        for number in range(3):
            os.dup2(null, number)
        if null > 2:
            os.close(null)
        if daemonizes:
            reactor.afterDaemonize()
        self._stay_in_background()

    def _stay_in_background(self) -> None:
        twistd = self._twistd
        twistd["nodaemon"] = True
        if twistd["umask"] is None:
            twistd["umask"] = 0o077

    def _wait(self, pipe: int) -> NoReturn:
        """Wait for the start of the program in the background, and exit with its result."""
        restore_defaults()
        answer = os.read(pipe, 1)
        if not answer:
            self._say(f"{self._name}: it ended before it had started{self._see_log()}")
        os._exit(0 if answer == STARTED else 1)

    def _early_log(self) -> Logger:
        """The log, which works before twistd has begun logging."""
        return self._log if self.log is None else Logger(observer=self.log)

    def _give_up(self, message: str) -> None:
        self._gave_up = True
        self._say(message)
        if self.heir is not None:
            self.heir.fail(message)
        self.pidfile.remove()  # twistd removes it only after an Exception
        self._report(FAILED)

    def _report(self, answer: bytes) -> None:
        descriptor, self._answer = self._answer, None
        if descriptor is None:
            return
        with suppress(BrokenPipeError):  # the waiting process was killed
            os.write(descriptor, answer)
        os.close(descriptor)
        os.close(self._errors)
        self._errors = 2

    def _say(self, message: str) -> None:
        """Write to standard error itself: ``sys.stderr`` leads to the log once logging has begun."""
        with suppress(OSError):  # standard error is closed
            os.write(self._errors, f"{message}\n".encode("utf-8", "backslashreplace"))

    def _see_log(self) -> str:
        return f"; see {self.log_file.path}" if self.log_file is not None else "; see the log"

    def _exit_at_last(self) -> None:
        """Exit without waiting any longer: something does not end, perhaps a plug-in."""
        self._log.critical("not ended within {seconds:g} s, so it exits as it is", seconds=AT_ONCE_WITHIN)
        os._exit(1)


class _Program(MultiService):
    """One service as the whole program."""

    def __init__(
        self, launch: Launch, service: IService, reactor: Any, actions: Mapping[Number, Callable[[], None]]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._launch = launch
        self._reactor = reactor
        self._actions = actions
        cast("Any", service).setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """Become a child of twistd's application, which gets the log."""
        self._launch.give_log_to(parent)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """Lock the pidfile before the user changes: the file may be root's."""
        self._launch.pidfile.hold()
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Start, and report it before anything else happens in the reactor."""
        self._reactor.callWhenRunning(self._run)
        self._launch.start(super().startService)

    def _run(self) -> None:
        self._launch.started()
        self._launch.signals.follow(self._reactor, self._actions)


def _copy(descriptor: int, instead: int) -> int:
    """A copy of a descriptor, or of another one if that is closed. No child inherits it."""
    try:
        return os.dup(descriptor)
    except OSError:
        return os.dup(instead)
