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

import re
from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel, Request
from twisted.web.http import HTTPFactory as StockFactory

from meshgate.api.access import Access
from meshgate.api.answer_streams import LogStream, WatchStream
from meshgate.api.answering import TEXT, Answering, LogFollowing, Watch
from meshgate.api.refusal import RefusedError, bad_request
from meshgate.api.requests import JSON_TYPE, Answer, ApiRequest

LARGEST_BODY: Final = 3 << 19
"""Bytes of the largest body: one and a half MiB, as in Kubernetes."""

CONNECTIONS_AT_ONCE: Final = 500
REQUESTS_AT_ONCE: Final = 400
WATCHES_AT_ONCE: Final = 200
LOGS_AT_ONCE: Final = 50

IDLE: Final = 90.0
"""Seconds that a connection may stay without a request."""

COMPLETE_WITHIN: Final = 60.0
"""Seconds in which a request has to be complete, counted from its first byte; and the first one from the connection."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_ABSOLUTE: Final = re.compile(r"(?i)https?://([^/?]*)")


class ApiSite(StockFactory):
    """
    The HTTP server of the API.

    :param reactor: for timers.
    :ivar answers: the number of answers by their status.
    :ivar connections: the connections.
    """

    noisy = False

    def __init__(self, answering: Answering, access: Access, reactor: Any) -> None:
        super().__init__(timeout=IDLE, reactor=reactor)
        self.answering = answering
        self.access = access
        self.clock = reactor
        self.connections: set[ApiChannel] = set()
        self.requests = 0
        self.answers: Counter[int] = Counter()
        self.watches: set[WatchStream] = set()
        self.logs: set[LogStream] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocol of a connection; None for one more than there may be, which is closed."""
        if len(self.connections) >= CONNECTIONS_AT_ONCE:
            return None
        channel: Any = ApiChannel(self)
        channel.factory, channel.requestFactory = self, self._request
        channel.callLater, channel.timeOut = self.clock.callLater, self.timeOut
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

    def end_connections(self) -> None:
        """Close the connections, which clients keep for their next requests."""
        for connection in tuple(self.connections):
            connection.loseConnection()  # type: ignore[no-untyped-call]


class ApiChannel(HTTPChannel):
    """One connection, on which each request has to be complete in time."""

    def __init__(self, site: ApiSite) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._site = site
        self._deadline: Any = None

    def connectionMade(self) -> None:
        """Count the connection, and wait for its first request."""
        self._site.connections.add(self)
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._begin_deadline()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes. The first ones of a request begin its time."""
        self._begin_deadline()
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def allContentReceived(self) -> None:
        """Answer a request, which is complete."""
        self._end_deadline()
        super().allContentReceived()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        self._site.connections.discard(self)
        self._end_deadline()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def timeoutConnection(self) -> None:
        """End the connection, on which nothing happens; nobody needs to read of that in the log."""
        self.forceAbortClient()

    def forceAbortClient(self) -> None:
        """End the connection at once."""
        self._abortingCall = None
        channel_transport: Any = self.transport
        channel_transport.abortConnection()

    def _begin_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self._site.clock.callLater(COMPLETE_WITHIN, self._too_slow)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.forceAbortClient()


class ApiHttpRequest(Request):
    """One HTTP request."""

    _log = Logger()

    def __init__(self, site: ApiSite, channel: HTTPChannel, *arguments: Any, **more: Any) -> None:
        super().__init__(channel, *arguments, **more)
        self._site = site
        self._received = 0
        self._ended = False
        self._counted = False
        self._user: tuple[str, bool] | None = None

    def gotLength(self, length: int | None) -> None:
        """Refuse a body before it comes, if its sender has no right to send one or it is too large."""
        self.content = BytesIO()  # never a file: a body may be a Secret
        if length == 0:
            return
        try:
            self._user = self._authenticate(self._headers())
            if length is not None and length > LARGEST_BODY:
                raise _too_large()
        except RefusedError as refusal:
            self._refuse_body(refusal)

    def handleContentChunk(self, data: bytes) -> None:
        """Take some bytes of the body."""
        self._received += len(data)
        if self._received > LARGEST_BODY:
            self._refuse_body(_too_large())
        elif not self._ended:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def _refuse_body(self, refusal: RefusedError) -> None:
        if self._ended:
            return
        self._ended = True
        self.requestHeaders.removeHeader(b"expect")  # no 100 comes after this
        # Not by the usual way, which reads the whole body first.
        content = Answer(refusal.as_json()).content()
        phrase = RESPONSES.get(refusal.code, b"")
        more = {
            "content-type": JSON_TYPE,
            "content-length": str(len(content)),
            "connection": "close",
            **refusal.headers,
        }
        self._site.answers[refusal.code] += 1
        head = b"HTTP/1.1 %d %s\r\n" % (refusal.code, phrase)
        head += b"".join(f"{name}: {value}\r\n".encode() for name, value in more.items())
        channel: Any = self.channel
        channel.transport.write(head + b"\r\n" + content)
        channel.loseConnection()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Take the request, which is complete, without looking for forms in it as web servers do."""
        self.method, self.uri, self.clientproto = command, path, version
        self.path, self.args = path.partition(b"?")[0], {}
        if not self._ended:
            self.process()

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

    def _headers(self) -> dict[str, str]:
        return {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in self.requestHeaders.getAllRawHeaders()
        }

    def _authenticate(self, headers: Mapping[str, str]) -> tuple[str, bool]:
        """
        The user, and if that user may write.

        :raises RefusedError: if whoever sends the request may not.
        """
        self._site.access.check_origin(headers, self._own_address())
        client = getattr(self.getClientAddress(), "host", "")  # type: ignore[no-untyped-call]
        return self._site.access.user(headers, client, self._site.clock.seconds())

    def _own_address(self) -> str:
        return getattr(self.getHost(), "host", "")  # type: ignore[no-untyped-call]

    def _read(self) -> tuple[ApiRequest, str]:
        """
        Read the request.

        :raises RefusedError: if whoever sends it may not.
        """
        headers, uri = self._headers(), self.uri.decode("latin-1")
        if match := _ABSOLUTE.match(uri):
            headers["host"], uri = match[1], uri[match.end() :]
        path, _, query = uri.partition("?")
        segments = tuple(unquote(each) for each in path.split("/") if each)
        user, writes = "", False
        self._site.access.check_origin(headers, self._own_address())
        if segments not in (("livez",), ("readyz",), ("healthz",)):
            sender = self._user or self._authenticate(headers)
            user, writes = self._site.access.acting(*sender, headers)
        if self._site.requests > REQUESTS_AT_ONCE:
            raise RefusedError(429, "too many requests at once; try again", headers={"retry-after": "1"})
        method = self.method.decode("latin-1")
        if method not in METHODS:
            raise RefusedError(405, f"the method {method[:20]!r} is not served", headers={"allow": ", ".join(METHODS)})
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise RefusedError(415, "a body has to come as it is: no Content-Encoding is taken")
        try:
            parameters = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise bad_request("the query has more than 100 parameters") from None
        body = self.content.getvalue() if isinstance(self.content, BytesIO) else b""
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
        own = {"content-type": JSON_TYPE, "cache-control": "no-cache, private", "x-content-type-options": "nosniff"}
        for name, value in {**own, **answer.headers}.items():
            self.setHeader(name.encode(), value.encode())  # type: ignore[no-untyped-call]
        for warning in answer.warning_headers():
            self.responseHeaders.addRawHeader(b"warning", warning.encode())

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
        if self.method == b"HEAD":
            self._send(Answer(b""))
            return
        if len(self._site.watches) >= WATCHES_AT_ONCE:
            refusal = RefusedError(429, "too many watches at once", headers={"retry-after": "5"})
            self._send(Answer(refusal.as_json(), refusal.code, refusal.headers))
            return
        self._send_head(Answer(b""))
        stream = WatchStream(self, watch, self._site.clock, self._site.watches.discard)
        self._site.watches.add(stream)
        self.notifyFinish().addBoth(lambda _: stream.closed())
        stream.start()


def _too_large() -> RefusedError:
    return RefusedError(413, f"the body has more than {LARGEST_BODY} bytes")
