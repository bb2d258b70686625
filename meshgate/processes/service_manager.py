"""
Notices to a service manager such as systemd (sd_notify(3), sd_watchdog_enabled(3)), and descriptors that it passes on.

It waits for ``READY=1`` before it starts what depends on the gateway, shows the status, and restarts a process that
does not say in time that it lives. That is said from the reactor, so that a process that hangs says nothing.

It passes on listening sockets by variables (sd_listen_fds(3)), which Twisted removes as soon as its endpoints are
imported. So they are read from what the process was started with.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

_SOCKET = "NOTIFY_SOCKET"
_WATCHDOG = "WATCHDOG_USEC"
_WATCHED = "WATCHDOG_PID"
_FOR = "LISTEN_PID"
_COUNT = "LISTEN_FDS"
_NAMES = "LISTEN_FDNAMES"

FIRST_DESCRIPTOR: Final = 3
"""The number of the first descriptor that is passed on (SD_LISTEN_FDS_START)."""

UNNAMED: Final = "unknown"
"""The name of descriptors that have none."""


class PassedOn(NamedTuple):
    """
    A descriptor that the service manager has passed on.

    :ivar name: ``FileDescriptorName`` of its unit.
    """

    number: int
    name: str


def passed_on(environment: Mapping[str, str]) -> list[PassedOn]:
    """
    Return the descriptors that were passed on to this process; none if the variables are meant for another one.

    :param environment: the variables ``LISTEN_PID``, ``LISTEN_FDS`` and ``LISTEN_FDNAMES``, if they are there.
    :raises ValueError: if they are malformed. The message is for people.
    """
    if _FOR not in environment or _COUNT not in environment or _number(environment, _FOR) != os.getpid():
        return []
    count = _number(environment, _COUNT)
    names = environment[_NAMES].split(":") if _NAMES in environment else [UNNAMED] * count
    if len(names) != count:
        raise ValueError(f"{_COUNT} is {count}, but {_NAMES} has {len(names)}: {environment[_NAMES]}")
    return [PassedOn(number, name) for number, name in enumerate(names, FIRST_DESCRIPTOR)]


def take_passed_on(environment: MutableMapping[str, str], *, from_parent: bool = False) -> list[PassedOn]:
    """
    As :func:`passed_on`, by the variables with which this process was started.

    :param environment: loses the variables, so that no child takes the descriptors for its own.
    :param from_parent: True if the variables are the parent's, which did not know the number of this process.
    """
    started_with = dict(environment)
    with suppress(OSError):  # without /proc
        lines = os.fsdecode(Path("/proc/self/environ").read_bytes()).split("\0")
        started_with |= dict(line.split("=", 1) for line in lines if line.startswith((_FOR, _COUNT, _NAMES)))
    for name in (_FOR, _COUNT, _NAMES):
        environment.pop(name, None)
    return passed_on({**started_with, _FOR: str(os.getpid())} if from_parent else started_with)


def variables_for(descriptors: Sequence[PassedOn]) -> dict[str, str]:
    """The variables that pass descriptors on to a child, which has them from :data:`FIRST_DESCRIPTOR` on."""
    if not descriptors:
        return {}
    return {_COUNT: str(len(descriptors)), _NAMES: ":".join(each.name for each in descriptors)}


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ValueError(f"{name} is {text!r}, and should be a number")
    return int(text)


class ServiceManager:
    """
    The service manager of this process; without one, everything does nothing.

    :param environment: the variables that tell of it. They are taken away, so that children do not speak for this
        process.
    """

    def __init__(self, reactor: Any, environment: MutableMapping[str, str]) -> None:
        self._reactor = reactor
        self._address = environment.pop(_SOCKET, "")
        watched, period = environment.pop(_WATCHED, ""), environment.pop(_WATCHDOG, "")
        self._period = int(period) / 1e6 / 2 if period.isdigit() and watched in ("", str(os.getpid())) else 0.0
        #: The variables for a process that takes over.
        self.variables = {name: value for name, value in ((_SOCKET, self._address), (_WATCHDOG, period)) if value}
        self._is_ready = False
        self._is_reading = False
        self._calls: Any = None

    def tell(self, *assignments: str) -> None:
        """Send assignments such as ``STATUS=…``; nobody waits for a manager that does not read."""
        address = self._address
        if address[:1] in ("/", "@"):
            name = f"\0{address[1:]}" if address[0] == "@" else address
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(), name)

    def ready(self, status: str) -> None:
        """Tell that the gateway serves, if that is news, and the status; from then on, the process is watched."""
        if not self._is_ready and not self._is_reading:
            self._is_ready = True
            self.tell("READY=1", f"STATUS={status}")
            if self._period and self._calls is None:
                self._live()

    def reloading(self) -> None:
        """Tell that everything is read again; until :meth:`read_again`, what serves is what was there before."""
        self._is_ready, self._is_reading = False, True
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reads everything again")

    def read_again(self, status: str = "") -> None:
        """Have :meth:`ready` tell again; at once, with a status, if nothing has changed."""
        self._is_reading = False
        if status:
            self.ready(status)

    def stopping(self) -> None:
        """Tell that the end has begun."""
        self._is_ready = True
        self.tell("STOPPING=1", "STATUS=drains its connections")

    def replaced(self, pid: int) -> None:
        """Tell that another process is the main one from now on, and nothing after that."""
        self.tell(f"MAINPID={pid}")
        self._address = ""

    def _live(self) -> None:
        self.tell("WATCHDOG=1")
        self._calls = self._reactor.callLater(self._period, self._live)
