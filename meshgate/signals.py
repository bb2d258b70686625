"""
What the process does on signals.

twistd's own way ends with exit status 143 on SIGTERM, and SIGHUP would kill; so these are ours.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning


def install_signals(reactor: Any, reload: Callable[[], None]) -> None:
    """
    SIGTERM and SIGINT stop the reactor, which stops the service and leaves exit status 0; SIGHUP reloads.
    To be called once the reactor runs: it installs its own at the start.
    """

    def stop(*_: object) -> None:
        reactor.callFromThread(_stop_once, reactor)

    def hang_up(*_: object) -> None:
        reactor.callFromThread(reload)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, hang_up)


def _stop_once(reactor: Any) -> None:
    try:
        reactor.stop()
    except ReactorNotRunning:
        pass  # a second SIGTERM while connections drain
