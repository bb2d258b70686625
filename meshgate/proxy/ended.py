"""
What becomes of connections that have ended: they are counted by how, and logged.

Knows records and where their lines go; knows nothing of connections that live.
"""

from __future__ import annotations

from meshgate.proxy.access_log import AccessLog
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord


class EndedConnections:
    """
    Those of one process.

    :ivar counts: how many there were, by how they ended.
    :ivar access_log: where each leaves a line; None while nothing is logged.
    """

    def __init__(self) -> None:
        self.counts: dict[Ending, int] = {}
        self.access_log: AccessLog | None = None

    def add(self, record: ConnectionRecord) -> None:
        """One more; its record is complete."""
        ending = record.ending
        if ending is not None:
            self.counts[ending] = self.counts.get(ending, 0) + 1
        if self.access_log is not None:
            self.access_log.write(record)
