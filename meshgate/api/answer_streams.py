"""
Answers that go on: a watch, and a log that is followed, as one client gets them.

A watch's next event goes out only when the client has read the ones before. A client that does not read a log misses
lines: a log has no revisions to go on from.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from twisted.web.http import Request
from zope.interface import implementer

from meshgate.api.answering import LogFollowing, Watch
from meshgate.api.pod_log import LogLine
from meshgate.api.refusal import RefusedError

BOOKMARK_EVERY: Final = 60.0
"""Seconds between two bookmarks of a watch."""


@implementer(IPushProducer)
class WatchStream:
    """
    A watch as one client gets it: a JSON object a line, for as long as the watch lasts.

    :param on_end: called once, when it has ended.
    """

    def __init__(self, request: Request, watch: Watch, clock: Any, on_end: Callable[[WatchStream], None]) -> None:
        self._request = request
        self._watch = watch
        self._clock = clock
        self._on_end = on_end
        self._paused = False
        self._over = False
        self._timeout: Any = None
        self._bookmarks = LoopingCall(self._send_bookmark)
        self._bookmarks.clock = clock

    def start(self) -> None:
        """Send what there is, and go on with what happens."""
        self._request.registerProducer(self, True)  # type: ignore[no-untyped-call]
        watch = self._watch
        # The head goes out now, even if there is no event yet: clients wait for it.
        self._request.write(b"")  # type: ignore[no-untyped-call]
        self._timeout = self._clock.callLater(watch.seconds, self.end)
        if watch.bookmarks:
            self._bookmarks.start(BOOKMARK_EVERY, now=False)
        watch.watcher.wake = self._send_events
        watch.watcher.follow()
        self._send_events()

    def end(self) -> None:
        """End the watch."""
        if not self._over:
            self.closed()
            self._request.unregisterProducer()  # type: ignore[no-untyped-call]
            self._request.finish()  # type: ignore[no-untyped-call]

    def closed(self) -> None:
        """Forget the watch, whose connection has ended."""
        if self._over:
            return
        self._over = True
        self._watch.watcher.leave()
        if self._timeout is not None and self._timeout.active():
            self._timeout.cancel()
        if self._bookmarks.running:
            self._bookmarks.stop()
        self._on_end(self)

    def _send_events(self) -> None:
        """Send events until the client has to read, or there are no more."""
        try:
            if self._paused:
                self._watch.watcher.check()
            while not (self._paused or self._over) and (event := self._watch.next_event()) is not None:
                self._send(event)
        except RefusedError as refusal:
            # The client has read too slowly, or not at all: these are the last words, and it lists again.
            self._send({"type": "ERROR", "object": refusal.as_json()})
            self.end()

    def _send_bookmark(self) -> None:
        # A client that is behind gets its events first: a bookmark says that it has all of them.
        if not (self._paused or self._over):
            self._send(self._watch.bookmark())

    def _send(self, event: Any) -> None:
        self._request.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")  # type: ignore[no-untyped-call]

    # IPushProducer.

    def pauseProducing(self) -> None:
        """Send no more until the client has read."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Send on."""
        self._paused = False
        self._send_events()

    def stopProducing(self) -> None:
        """End, since the connection has."""
        self.closed()


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
