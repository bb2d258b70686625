"""
HTTP for the API, on twisted.web: reads requests within limits, checks who sends them, and sends answers and watches.

The problem: a stranger who reaches the port must neither learn anything nor use memory, and a client that reads a watch
slowly must not make the control process keep its events for ever.

The approach: the credentials and the Host header are checked as soon as the headers are there, before a body is read;
bodies and the number of requests and watches are limited; and a watch gives its next event only to a client that has
read the ones before.

The invariants: each request gets exactly one answer; a watcher is removed when its connection ends in whatever way; and
nobody but the log sees a traceback.
"""

from __future__ import annotations

import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.http import HTTPChannel, Request
from twisted.web.http import HTTPFactory as StockFactory
from zope.interface import implementer

from meshgate.api.answering import TEXT, Answering, LogFollowing, Watch
from meshgate.api.log_stream import LogStream
from meshgate.api.refusal import RefusedError
from meshgate.api.requests import JSON_TYPE, Answer, ApiRequest

LARGEST_BODY: Final = 3 << 19
"""Bytes of the largest body: one and a half MiB, as in Kubernetes."""

REQUESTS_AT_ONCE: Final = 400
WATCHES_AT_ONCE: Final = 200
LOGS_AT_ONCE: Final = 50

BOOKMARK_EVERY: Final = 60.0
"""Seconds between two bookmarks of a watch."""

IDLE: Final = 90.0
"""Seconds that a connection may stay without a request, or take to send one."""

_TOO_LARGE: Final = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_WARNING_LENGTH: Final = 1_000
_BEARER: Final = "Bearer "
_IMPERSONATE: Final = "impersonate-"


class Access:
    """
    Who may do what.

    :param tokens: the users by their tokens; the second value says if the user may write.
    :param hosts: the names and addresses in Host headers that are this API's own, without a port.
    """

    def __init__(self, tokens: Iterable[tuple[str, str, bool]], hosts: Iterable[str]) -> None:
        self._tokens = tuple(tokens)
        self._hosts = frozenset(hosts)

    def user(self, authorization: str) -> tuple[str, bool]:
        """
        The user with these credentials, and if that user may write.

        :raises RefusedError: if there is none.
        """
        if authorization.startswith(_BEARER):
            given = authorization.removeprefix(_BEARER).strip().encode()
            for user, token, writes in self._tokens:
                if hmac.compare_digest(given, token.encode()):
                    return user, writes
        raise RefusedError(401, "Unauthorized", headers={"www-authenticate": "Bearer"})

    def acting(self, user: str, writes: bool, headers: Mapping[str, str]) -> tuple[str, bool]:
        """
        The user as whom a request is to be answered: the sender, or the one whom its headers impersonate.

        :raises RefusedError: if the sender may not do that, or there is no such user.
        """
        asked = [name for name in headers if name.startswith(_IMPERSONATE)]
        if not asked:
            return user, writes
        name = headers.get(f"{_IMPERSONATE}user", "")
        known = {each: may_write for each, _, may_write in self._tokens}
        if not writes and name != user:
            raise RefusedError(403, f"the user {user} cannot impersonate others")
        if name not in known:
            raise RefusedError(403, f"there is no user {name[:60]!r} to impersonate, only {' and '.join(known)}")
        return name, known[name]

    def check_host(self, host: str) -> None:
        """
        Check that a Host header names this API, so that no page of a browser reaches it by a name of its own.

        :raises RefusedError: if it does not.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.strip("[]").lower() not in self._hosts:
            raise RefusedError(403, "the Host header does not name this API")


class ApiSite(StockFactory):
    """
    The HTTP server of the API.

    :param reactor: for timers.
    :ivar answers: the number of answers by their status.
    """

    noisy = False

    def __init__(self, answering: Answering, access: Access, reactor: Any) -> None:
        super().__init__(timeout=IDLE, reactor=reactor)
        self.answering = answering
        self.access = access
        self.clock = reactor
        self.requests = 0
        self.answers: Counter[int] = Counter()
        self.watches: set[WatchStream] = set()
        self.logs: set[LogStream] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocol of a connection."""
        channel: Any = super().buildProtocol(addr)
        channel.requestFactory = self._request
        return channel

    def log(self, request: Any) -> None:
        """Log no request: objects have names that may be secret, and nobody asked for such a log."""

    def _request(self, channel: HTTPChannel, *arguments: Any, **more: Any) -> ApiHttpRequest:
        return ApiHttpRequest(self, channel, *arguments, **more)

    def end_watches(self) -> None:
        """End all watches and logs that are followed; their clients come back."""
        for watch in list(self.watches):
            watch.end()
        for log in list(self.logs):
            log.end()


class ApiHttpRequest(Request):
    """One HTTP request."""

    _log = Logger()

    def __init__(self, site: ApiSite, channel: HTTPChannel, *arguments: Any, **more: Any) -> None:
        super().__init__(channel, *arguments, **more)
        self._site = site
        self._received = 0
        self._ended = False
        self._counted = False

    def gotLength(self, length: int | None) -> None:
        """Refuse a body that is too large before it comes."""
        if length is not None and length > LARGEST_BODY:
            self._refuse_body()
        super().gotLength(length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        """Take some bytes of the body."""
        self._received += len(data)
        if self._received > LARGEST_BODY:
            self._refuse_body()
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def _refuse_body(self) -> None:
        if not self._ended:
            self._ended = True
            # Not by the usual way, which reads the whole body first.
            channel: Any = self.channel
            channel.transport.write(_TOO_LARGE)
            channel.loseConnection()

    def process(self) -> None:
        """Answer the request, whose body is complete."""
        self.notifyFinish().addBoth(self._finished)
        self._site.requests += 1
        self._counted = True
        done = Deferred.fromCoroutine(self._answer())
        done.addErrback(lambda failure: self._log.failure("a request to the API has failed", failure))

    def _finished(self, _: object) -> None:
        self._ended = True
        if self._counted:
            self._counted = False
            self._site.requests -= 1

    async def _answer(self) -> None:
        try:
            request, address = self._read()
            answer = await self._site.answering.answer(request, address)
        except RefusedError as refusal:
            answer = Answer(refusal.as_json(), refusal.code, refusal.headers)
        except Exception:
            self._log.failure("a request to the API has failed")
            answer = Answer(RefusedError(500, "the request has failed; the gateway's log says why").as_json(), 500)
        if self._ended:
            return
        if isinstance(answer, Watch):
            self._start_watch(answer)
        elif isinstance(answer, LogFollowing):
            self._start_log(answer)
        else:
            self._send(answer)

    def _read(self) -> tuple[ApiRequest, str]:
        """
        Read the request.

        :raises RefusedError: if whoever sends it may not.
        """
        headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in self.requestHeaders.getAllRawHeaders()
        }
        self._site.access.check_host(headers.get("host", ""))
        path, _, query = self.uri.decode("latin-1").partition("?")
        segments = tuple(unquote(each) for each in path.split("/") if each)
        user, writes = "", False
        if segments not in (("livez",), ("readyz",), ("healthz",)):
            sender = self._site.access.user(headers.get("authorization", ""))
            user, writes = self._site.access.acting(*sender, headers)
        if self._site.requests > REQUESTS_AT_ONCE:
            raise RefusedError(429, "too many requests at once; try again", headers={"retry-after": "1"})
        parameters = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
        body = self.content.read() if self.content is not None else b""
        method = self.method.decode("latin-1").upper()
        return ApiRequest(method, segments, parameters, headers, body, user, writes), headers.get("host", "")

    def _send(self, answer: Answer) -> None:
        content = answer.content()
        self._send_head(answer)
        self.setHeader(b"content-length", str(len(content)).encode())  # type: ignore[no-untyped-call]
        if self.method != b"HEAD":
            self.write(content)  # type: ignore[no-untyped-call]
        self.finish()  # type: ignore[no-untyped-call]

    def _send_head(self, answer: Answer) -> None:
        self.setResponseCode(answer.code)
        self._site.answers[answer.code] += 1
        self.setHeader(b"content-type", JSON_TYPE.encode())  # type: ignore[no-untyped-call]
        self.setHeader(b"cache-control", b"no-cache, private")  # type: ignore[no-untyped-call]
        for name, value in answer.headers.items():
            self.setHeader(name.encode(), value.encode())  # type: ignore[no-untyped-call]
        for warning in answer.warnings:
            text = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")[:_WARNING_LENGTH]
            self.responseHeaders.addRawHeader(b"warning", f'299 - "{text}"'.encode())

    def _start_log(self, following: LogFollowing) -> None:
        if len(self._site.logs) >= LOGS_AT_ONCE:
            refusal = RefusedError(429, "too many logs are followed at once", headers={"retry-after": "5"})
            self._send(Answer(refusal.as_json(), refusal.code, refusal.headers))
            return
        self._send_head(Answer(b"", headers=TEXT))
        stream = LogStream(self, following, self._site.logs.discard)
        self._site.logs.add(stream)
        self.notifyFinish().addBoth(lambda _: stream.closed())
        stream.start()

    def _start_watch(self, watch: Watch) -> None:
        if len(self._site.watches) >= WATCHES_AT_ONCE:
            refusal = RefusedError(429, "too many watches at once", headers={"retry-after": "5"})
            self._send(Answer(refusal.as_json(), refusal.code, refusal.headers))
            return
        self._send_head(Answer(b""))
        stream = WatchStream(self, watch, self._site.clock, self._site.watches.discard)
        self._site.watches.add(stream)
        self.notifyFinish().addBoth(lambda _: stream.closed())
        stream.start()


@implementer(IPushProducer)
class WatchStream:
    """
    A watch as one client gets it: a JSON object a line, for as long as the watch lasts.

    :param on_end: called once, when it has ended.
    """

    def __init__(
        self, request: ApiHttpRequest, watch: Watch, clock: Any, on_end: Callable[[WatchStream], None]
    ) -> None:
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
