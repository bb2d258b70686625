"""
Notices to a service manager such as systemd (sd_notify(3), sd_watchdog_enabled(3)).

It waits for ``READY=1`` before it starts what depends on the gateway, shows the status, and restarts a process that
does not say in time that it lives. That is said from the reactor, so that a process that hangs says nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

_SOCKET = "NOTIFY_SOCKET"
_WATCHDOG = "WATCHDOG_USEC"
_WATCHED = "WATCHDOG_PID"


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

    def _live(self) -> None:
        self.tell("WATCHDOG=1")
        self._calls = self._reactor.callLater(self._period, self._live)
