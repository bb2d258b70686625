"""Tests of :mod:`meshgate.proxy.ended`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.access_log import open_access_log
from meshgate.proxy.ended import EndedConnections
from meshgate.proxy.endings import Ending
from meshgate.proxy.log_line import format_text
from meshgate.proxy.record import ConnectionRecord
from tests.support import new_folder


def record(number: int, ending: Ending) -> ConnectionRecord:
    """A complete record."""
    complete = ConnectionRecord(number, 0.0, 0.0, "0.0.0.0:31400", ("192.0.2.1", 40001))
    complete.ending = ending
    return complete


class EndedTests(SynchronousTestCase):
    """Connections that have ended."""

    def test_they_are_counted(self) -> None:
        """Each by its ending; those that never came have no count."""
        ended = EndedConnections()
        self.assertEqual(ended.counts, {})
        for number, ending in enumerate((Ending.OK, Ending.NO_ROUTE, Ending.OK), 1):
            ended.add(record(number, ending))
        self.assertEqual(ended.counts, {Ending.OK: 2, Ending.NO_ROUTE: 1})

    def test_they_are_logged(self) -> None:
        """Each leaves its line where there is a log, and none where there is none, or no more."""
        clock, file = Clock(), new_folder(self) / "access.log"
        records = [record(number, Ending.OK) for number in range(1, 4)]
        ended = EndedConnections()
        ended.add(records[0])
        log = ended.access_log = open_access_log(str(file), "text", clock)
        ended.add(records[1])
        ended.access_log = None
        ended.add(records[2])
        log.close()
        self.assertEqual(file.read_text(), f"{format_text(records[1])}\n")
