"""The log of a container, and what ``kubectl logs`` may ask of it (core/v1, PodLogOptions)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from meshgate.api.refusal import bad_request
from meshgate.api.requests import ApiRequest

LOG_LINES: Final = 1_000
"""The number of lines of a container's log that are kept."""

_LONGEST_SINCE: Final = 10**9


@dataclass(frozen=True, slots=True)
class LogLine:
    """
    One line.

    :ivar time: as Kubernetes writes it.
    """

    time: str
    text: str


@dataclass(frozen=True, slots=True)
class LogOptions:
    """
    The lines that a client asks for.

    :ivar follow: go on with new lines.
    :ivar previous: those of the container before its last restart.
    :ivar timestamps: put the time before each line.
    :ivar since: the time before which lines are left out.
    :ivar tail: the number of lines from the end; None for all.
    :ivar limit: the largest number of bytes; None for all.
    """

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: datetime | None = None
    tail: int | None = None
    limit: int | None = None

    def encoded(self, line: LogLine) -> bytes:
        """A line as the client gets it."""
        head = f"{line.time} " if self.timestamps else ""
        return f"{head}{line.text}\n".encode()

    def selected(self, lines: Iterable[LogLine]) -> bytes:
        """Those of some lines that the client asks for."""
        since = self.since
        found = [each for each in lines if since is None or datetime.fromisoformat(each.time) >= since]
        if self.tail is not None:
            found = found[len(found) - min(self.tail, len(found)) :]
        return b"".join(map(self.encoded, found))[: self.limit]


def log_options(request: ApiRequest, now: datetime) -> LogOptions:
    """
    Read the options of a request.

    :raises RefusedError: if one of them cannot be understood.
    """
    since = None
    if seconds := request.number("sinceSeconds"):
        since = now - timedelta(seconds=min(seconds, _LONGEST_SINCE))
    elif text := request.query.get("sinceTime", ""):
        since = _time(text)
    return LogOptions(
        follow=request.flag("follow"),
        previous=request.flag("previous"),
        timestamps=request.flag("timestamps"),
        since=since,
        tail=request.number("tailLines") if request.query.get("tailLines") else None,
        limit=request.number("limitBytes") if request.query.get("limitBytes") else None,
    )


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(f"sinceTime has to be a time as in RFC 3339, not {text[:40]!r}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


Follower = Callable[[LogLine | None], None]
"""Called with each new line, and with None when the container has ended."""


@dataclass(eq=False, slots=True)
class PodLog:
    """
    The log of the container of a Pod.

    :ivar container: the container's name.
    :ivar lines: the last lines.
    :ivar previous: the lines of the container before its last restart; None if it was never restarted.
    :ivar followers: those who get each new line.
    """

    container: str = ""
    lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    previous: deque[LogLine] | None = None
    followers: set[Follower] = field(default_factory=set)

    def write(self, time: str, text: str) -> None:
        """Add a line."""
        line = LogLine(time, text)
        self.lines.append(line)
        for follower in list(self.followers):
            follower(line)

    def restart(self) -> None:
        """Begin anew, since the container does."""
        self.previous, self.lines = self.lines, deque(maxlen=LOG_LINES)
        self.end()

    def end(self) -> None:
        """Tell the followers that no line follows."""
        followers, self.followers = self.followers, set()
        for follower in followers:
            follower(None)
