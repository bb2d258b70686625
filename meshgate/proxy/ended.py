"""Connections that have ended: the number of each ending, and a line in the access log."""

from __future__ import annotations

from meshgate.proxy.access_log import AccessLog
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord


class EndedConnections:
    """
    The ended connections of one worker.

    :ivar counts: number of connections for each ending.
    :ivar access_log: the log for a line of each connection; None until it is open.
    """

    def __init__(self) -> None:
        self.counts: dict[Ending, int] = {}
        self.access_log: AccessLog | None = None

    def add(self, record: ConnectionRecord) -> None:
        """Count and log a connection; its record is complete."""
        ending = record.ending
        if ending is not None:
            self.counts[ending] = self.counts.get(ending, 0) + 1
        if self.access_log is not None:
            self.access_log.write(record)
