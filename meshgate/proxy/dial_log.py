"""
The log of dials that failed because of this machine: it is out of ports, descriptors or memory, or a route leads back
to the gateway itself.

Such a failure happens to every connection at once, so each kind is logged once a minute.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from typing import ClassVar, Final

from twisted.logger import Logger

from meshgate.proxy.record import ConnectionRecord
from meshgate.transport.descriptors import current_limit
from meshgate.transport.dialing import DialError, DialLoop

PAUSE: Final = 60.0
"""Seconds between two lines about the same thing."""

_REMEMBERED: Final = 1024
"""Number of reasons whose last line is remembered."""

_NO_PORT: Final = (
    "give the gateway more source addresses (upstream_source, each an address of this machine), widen "
    "net.ipv4.ip_local_port_range, or give the destination more endpoints"
)
_NO_MEMORY: Final = "look at net.ipv4.tcp_mem and at the memory limit of the container or service"
_REMEDIES: Final = {
    errno.EADDRNOTAVAIL: _NO_PORT,
    errno.EADDRINUSE: _NO_PORT,
    errno.EAGAIN: _NO_PORT,
    errno.EMFILE: "raise the limit of open files (LimitNOFILE= of the service, or ulimit -n), which is {limit}, "
    "or lower limits.connections",
    errno.ENFILE: "raise fs.file-max, the limit of open files of the whole machine",
    errno.ENOBUFS: _NO_MEMORY,
    errno.ENOMEM: _NO_MEMORY,
}


class DialLog:
    """
    Logs failed dials that are not the endpoint's fault.

    :param seconds: returns the clock's seconds.
    """

    log: ClassVar = Logger()

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._until: dict[Hashable, float] = {}

    def note(self, error: DialError, record: ConnectionRecord, endpoint: str) -> None:
        """
        Log a failed dial, unless the same reason was logged within the last minute.

        :param record: the record of the connection.
        :param endpoint: the endpoint that was dialed.
        """
        loop = isinstance(error, DialLoop)
        if not self._is_due((record.virtual_service, endpoint) if loop else error.errno):
            return
        if loop:
            self.log.error(
                "{virtual_service} sends connections of {listener} for {destination} to {endpoint}, where this gateway "
                "itself listens; they are not made, and end as loop unless there is another endpoint: name the "
                "endpoint behind the gateway instead",
                virtual_service=record.virtual_service or "no VirtualService",
                destination=record.destination,
                endpoint=endpoint,
                listener=record.listener,
            )
        else:
            remedy = _REMEDIES.get(error.errno, "")
            self.log.error(
                "{name} for a connection of {virtual_service} to {endpoint}: {error}; this is a shortage of this "
                "machine's, and not held against the endpoint: {remedy}",
                name=error.name,
                virtual_service=record.virtual_service or "no VirtualService",
                endpoint=endpoint,
                error=error,
                remedy=remedy.format(limit=current_limit()),
            )

    def _is_due(self, what: Hashable) -> bool:
        now = self._seconds()
        if self._until.get(what, now) > now:
            return False
        if len(self._until) >= _REMEMBERED:
            self._until.clear()
        self._until[what] = now + PAUSE
        return True
