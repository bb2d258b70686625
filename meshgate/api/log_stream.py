"""A log as one client follows it. A client that does not read misses lines: a log has no revisions to go on from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from meshgate.api.answering import LogFollowing
from meshgate.api.pod_log import LogLine


@implementer(IPushProducer)
class LogStream:
    """
    A log that is followed.

    :param request: the request, of which the head of the answer is written.
    :param on_end: called once, when it has ended.
    """

    def __init__(self, request: Any, following: LogFollowing, on_end: Callable[[Any], None]) -> None:
        self._request = request
        self._following = following
        self._on_end = on_end
        self._left = following.options.limit
        self._paused = False
        self._over = False

    def start(self) -> None:
        """Send what there is, and go on with each new line."""
        self._request.registerProducer(self, True)
        # The head goes out now, even if there is no line yet: clients wait for it.
        self._request.write(b"")
        self._following.log.followers.add(self._take)
        self._send(self._following.first)

    def _take(self, line: LogLine | None) -> None:
        if line is None:
            self.end()
        else:
            self._send(self._following.options.encoded(line))

    def _send(self, text: bytes) -> None:
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        if text and not self._paused:
            self._request.write(text)
        if self._left == 0:
            self.end()

    def end(self) -> None:
        """End the answer."""
        if not self._over:
            self.closed()
            self._request.unregisterProducer()
            self._request.finish()

    def closed(self) -> None:
        """Forget the log, since the connection has ended."""
        if not self._over:
            self._over = True
            self._following.log.followers.discard(self._take)
            self._on_end(self)

    # IPushProducer.

    def pauseProducing(self) -> None:
        """Leave lines out until the client has read."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Send new lines again."""
        self._paused = False

    def stopProducing(self) -> None:
        """End, since the connection has."""
        self.closed()
