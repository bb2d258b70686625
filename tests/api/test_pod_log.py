"""Tests of :mod:`meshgate.api.pod_log`."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.pod_log import LOG_LINES, LogLine, LogOptions, PodLog, log_options
from meshgate.api.refusal import RefusedError
from meshgate.api.requests import ApiRequest

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


def options(**query: str) -> LogOptions:
    """The options of a query."""
    return log_options(ApiRequest("GET", (), query), NOW)


class PodLogTests(SynchronousTestCase):
    """A log, and its options."""

    def setUp(self) -> None:
        """A log of three lines, a minute apart."""
        self.log = PodLog("echo")
        for minute in (57, 58, 59):
            self.log.write(f"2027-01-15T07:{minute}:00Z", f"at {minute}")

    def selected(self, **query: str) -> str:
        """The lines that a query asks for."""
        return options(**query).selected(self.log.lines).decode()

    def test_options(self) -> None:
        """Each option selects lines, or adds times."""
        for query, wanted in (
            ({}, "at 57\nat 58\nat 59\n"),
            ({"tailLines": "1"}, "at 59\n"),
            ({"tailLines": "0"}, ""),
            ({"tailLines": "9"}, "at 57\nat 58\nat 59\n"),
            ({"sinceSeconds": "90"}, "at 59\n"),
            ({"sinceTime": "2027-01-15T07:58:00Z"}, "at 58\nat 59\n"),
            ({"sinceTime": "2027-01-15T07:58:30"}, "at 59\n"),
            ({"limitBytes": "4"}, "at 5"),
            ({"tailLines": "1", "timestamps": "true"}, "2027-01-15T07:59:00Z at 59\n"),
            ({"sinceSeconds": "9" * 18}, "at 57\nat 58\nat 59\n"),
        ):
            self.assertEqual(self.selected(**query), wanted, str(query))

    def test_faults(self) -> None:
        """An option that cannot be understood is refused."""
        for query in ({"tailLines": "x"}, {"sinceTime": "yesterday"}, {"sinceSeconds": "-1"}, {"limitBytes": "1.5"}):
            self.assertEqual(self.assertRaises(RefusedError, options, **query).code, 400)

    def test_followed(self) -> None:
        """A follower gets each new line, and hears of a restart; the lines before are the previous ones."""
        seen: list[LogLine | None] = []
        self.log.followers.add(seen.append)
        self.log.write("t", "new")
        self.log.restart()
        self.log.write("t", "unheard")
        self.assertEqual(seen, [LogLine("t", "new"), None])
        self.assertEqual([line.text for line in self.log.lines], ["unheard"])
        assert self.log.previous is not None
        self.assertEqual(len(self.log.previous), 4)

    def test_bounded(self) -> None:
        """It keeps the last lines alone."""
        for number in range(2 * LOG_LINES):
            self.log.write("t", str(number))
        self.assertEqual(len(self.log.lines), LOG_LINES)
