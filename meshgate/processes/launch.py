"""
A program under twistd: its pidfile, its log, its way to the background, and what is told of a start that fails.

twistd itself refuses to start beside a pidfile whose number is anybody's, and waits for ever for a child that ends by
anything but an Exception. So twistd is always told to stay in the foreground: going to the background is done here,
before anything is opened, and whoever started the program waits for one byte over a pipe whose other end only the
program holds. The message of a start that fails goes, whole, to the standard error of the beginning, and to the log.
"""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals as Number
from typing import Any, Final, NoReturn, TypeVar, cast

from twisted.application.service import IService, MultiService
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorDaemonize
from twisted.logger import FileLogObserver, ILogObserver, Logger, formatEventAsClassicLogText

from meshgate.processes.log_file import LogFile
from meshgate.processes.pidfile import PidfileError, clear_stale, hold, require_writable
from meshgate.processes.signals import Signals, restore_defaults

DEFAULT_LOG: Final = "twistd.log"
"""The file that twistd logs to in the background."""

STARTED: Final = b"0"
FAILED: Final = b"1"
"""What the program answers to whoever waits for its start; after FAILED nothing is left to say."""


AT_ONCE_WITHIN: Final = 5.0
"""Seconds that a program may take to end where it is to end at once."""


Result = TypeVar("Result")


class StartError(Exception):
    """The program cannot start. The message is for people."""


def _nothing() -> None:
    """No duty."""


@dataclass(frozen=True, slots=True)
class Duties:
    """
    What a program does on signals.

    :ivar end_at_once: do not wait for anything while ending. Called before the service is stopped, or meanwhile.
    :ivar reopen_logs: open anew what is written to besides the program's own log.
    :ivar reload: read everything again, and open the logs anew.
    """

    end_at_once: Callable[[], None] = _nothing
    reopen_logs: Callable[[], None] = _nothing
    reload: Callable[[], None] = _nothing


class Launch:
    """
    The start of a program, from the reading of the options to the running reactor.

    :param twistd: the options of twistd itself, read and not yet acted on.
    :param name: of the program, which its messages begin with.
    :ivar background: the program is to run in the background.
    :ivar signals: those of the process, handled from now on.
    :ivar log_file: what the program logs to, if that is a file and not twistd's business.
    """

    _log = Logger()

    def __init__(self, twistd: Any, name: str) -> None:
        self._twistd = twistd
        self._name = name
        self.background = not (twistd["nodaemon"] or twistd["debug"])
        self.signals = Signals()
        self.log_file: LogFile | None = None
        self._observer: FileLogObserver | None = None
        self._pidfile: Path | None = None
        self._wrote_pidfile = False
        self._ending = False
        self._gave_up = False
        self._lock: int | None = None
        self._errors = 2
        self._answer: int | None = None

    def prepare(self) -> None:
        """
        Handle signals from now on, and see to the pidfile: in the foreground there is none unless one is named.

        :raises SystemExit: with a message when the process of the pidfile runs, or it cannot be written.
        """
        self.signals.install()
        twistd = self._twistd
        if not (self.background or _names_pidfile(twistd)):
            twistd["pidfile"] = ""
        if twistd["pidfile"]:
            self._pidfile = Path(twistd["pidfile"]).absolute()
            try:
                if not twistd["chroot"]:
                    number = clear_stale(self._pidfile)
                    require_writable(self._pidfile)
                    if number is not None:
                        whose = f"process {number}" if number else "an interrupted start"
                        self._log.warn(
                            "removed the pidfile {path}, which {whose} left behind",
                            path=str(self._pidfile),
                            whose=whose,
                        )
            except PidfileError as error:
                raise SystemExit(f"{self._name}: {error}") from None
        if not (twistd["chroot"] or os.path.isdir(twistd["rundir"])):
            raise SystemExit(f"{self._name}: the folder {twistd['rundir']} of --rundir does not exist")
        if self.background and twistd["logfile"] == "-":
            raise SystemExit(f"{self._name}: there is no standard output in the background; name a file by --logfile")

    def begin(self, reactor: Any, in_foreground: Any) -> None:
        """
        Open the log, and go to the background if that is asked for; whoever started the program waits there until
        :meth:`run` has had it started, and never comes back from here.

        :param in_foreground: the stream to log to in the foreground, unless the options say something else.
        :raises SystemExit: with a message when the log cannot be opened, or the system has no room for a process.
        """
        twistd = self._twistd
        if not (twistd["logger"] or twistd["syslog"] or twistd["logfile"] == "-"):
            stream: Any = in_foreground
            if twistd["logfile"] or self.background:
                stream = self.log_file = self._open_log(Path(twistd["logfile"] or DEFAULT_LOG).absolute())
            self._observer = FileLogObserver(stream, formatEventAsClassicLogText)
        if self.background:
            try:
                self._go_to_background(reactor)
            except OSError as error:
                raise SystemExit(f"{self._name}: there is no way to the background: {error.strerror}") from None

    def run(self, service: IService, reactor: Any, duties: Duties | None = None) -> IService:
        """
        The service as the whole program.

        :param service: may raise :exc:`StartError` when it is started.
        :param duties: what signals mean to it, besides what they do to any program.
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
            Number.SIGUSR2: self._upgrade_later,
        }
        return cast("IService", _Program(self, service, reactor, actions))

    def attempt(self, step: Callable[[], Result]) -> Result:
        """
        Take a step of the start, and give up if it fails.

        :param step: may raise :exc:`StartError`. Anything else is a bug, which twistd tells in the foreground.
        :return: what the step does.
        :raises SystemExit: when it fails.
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
        Give up the start: the message goes to standard error, and to the log if that is another place.

        :raises SystemExit: with status 1.
        """
        if self._observer is None or self.log_file is not None:
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
        """Have twistd log to what was opened."""
        if self._observer is not None:
            application.setComponent(ILogObserver, self._observer)

    def hold_pidfile(self) -> None:
        """Lock the pidfile, which twistd has written by now."""
        if self._pidfile is not None:
            self._lock = hold(self._pidfile)
            self._wrote_pidfile = True

    def start(self, start: Callable[[], None]) -> None:
        """
        Start the service.

        :raises SystemExit: when that fails.
        """
        if self.signals.asked_to_end:
            self._give_up(f"{self._name}: ended by a signal before it had started")
            raise SystemExit(0)
        # Should the reactor itself fail, twistd leaves a file that says why only for what runs in the background.
        self._twistd["nodaemon"] = not self.background
        self.attempt(start)
        self.signals.hold_back()

    def started(self) -> None:
        """The reactor runs."""
        self._tell(STARTED)

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
        twistd = self._twistd
        twistd["nodaemon"] = True
        if twistd["umask"] is None:
            twistd["umask"] = 0o077

    def _wait(self, pipe: int) -> NoReturn:
        """Wait for the program in the background, and end as its start did."""
        restore_defaults()
        answer = os.read(pipe, 1)
        if not answer:
            self._say(f"{self._name}: it ended before it had started{self._see_log()}")
        os._exit(0 if answer == STARTED else 1)

    def _early_log(self) -> Logger:
        """The log, be it that twistd has not begun it yet."""
        return self._log if self._observer is None else Logger(observer=self._observer)

    def _give_up(self, message: str) -> None:
        self._gave_up = True
        self._say(message)
        if self._wrote_pidfile and self._pidfile is not None:
            with suppress(OSError):  # another user's by now; whoever starts next finds it stale
                self._pidfile.unlink()  # twistd does so only after an Exception
        self._tell(FAILED)

    def _tell(self, answer: bytes) -> None:
        descriptor, self._answer = self._answer, None
        if descriptor is None:
            return
        with suppress(BrokenPipeError):  # nobody waits any more
            os.write(descriptor, answer)
        os.close(descriptor)
        os.close(self._errors)
        self._errors = 2

    def _say(self, message: str) -> None:
        """Write to standard error itself: ``sys.stderr`` leads to the log, once that has begun."""
        with suppress(OSError):  # nobody reads it any more
            os.write(self._errors, f"{message}\n".encode("utf-8", "backslashreplace"))

    def _see_log(self) -> str:
        return f"; see {self.log_file.path}" if self.log_file is not None else "; see the log"

    def _exit_at_last(self) -> None:
        """Something does not end, a plug-in perhaps; whoever wants an end at once gets one."""
        self._log.critical("not ended within {seconds:g} s, so it exits as it is", seconds=AT_ONCE_WITHIN)
        os._exit(1)

    def _upgrade_later(self) -> None:
        self._log.warn("SIGUSR2 is kept for an upgrade without a pause, which is not served yet; nothing happens")


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
        """Become twistd's application, which gets the log."""
        self._launch.give_log_to(parent)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """Lock the pidfile while it may be read: it may be root's."""
        self._launch.hold_pidfile()
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Start; whoever waits for it hears of that before anything else happens in the reactor."""
        self._reactor.callWhenRunning(self._run)
        self._launch.start(super().startService)

    def _run(self) -> None:
        self._launch.started()
        self._launch.signals.follow(self._reactor, self._actions)


def _names_pidfile(twistd: Any) -> bool:
    """True if a pidfile is named on the command line, be it the one that is the default."""
    if twistd["pidfile"] != twistd.defaults["pidfile"]:
        return True
    try:
        options, _ = getopt.getopt(sys.argv[1:], twistd.shortOpt, twistd.longOpt)
    except getopt.GetoptError:
        return False
    return any(option == "--pidfile" for option, _ in options)


def _copy(descriptor: int, instead: int) -> int:
    """A copy of a descriptor that no other process inherits; of another where it is closed."""
    try:
        return os.dup(descriptor)
    except OSError:
        return os.dup(instead)
