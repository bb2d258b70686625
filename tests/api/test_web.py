"""Tests of :mod:`meshgate.api.web`: HTTP over real sockets, without TLS."""

from __future__ import annotations

import json
import random
import re
from functools import partial
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import TestCase

from meshgate.api import answer_streams, watch_window, web
from meshgate.api.access import Access
from meshgate.api.answering import Answering
from meshgate.api.collection import WriteOptions
from meshgate.api.pod_log import PodLog
from meshgate.api.web import LARGEST_BODY, ApiSite
from tests.api.api_objects import MemoryStore, collection_of, gateway, no_log, no_warnings, type_named
from tests.peers import Peer
from tests.support import reactor, wait_for

GATEWAYS = "/apis/networking.istio.io/v1/namespaces/default/gateways"
OPTIONS = WriteOptions()
ADMIN = "secret-a"
GATEWAY = type_named("Gateway")


class WebTests(TestCase):
    """A server with the users ``admin`` and ``reader``."""

    timeout = 60

    async def start(self) -> None:
        """Listen on a free port of the loopback interface."""
        self.collection = collection_of(MemoryStore())
        clock = partial(float, 1_800_000_000)
        answering = Answering(self.collection, lambda: True, no_warnings, no_log, clock, random.Random(1))
        users = [("admin", ADMIN, True), ("reader", "secret-r", False)]
        self.site = ApiSite(answering, Access(users, ["127.0.0.1", "localhost", "::1"]), reactor)
        listening = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.port = listening.getHost().port
        self.addCleanup(listening.stopListening)
        self.addCleanup(self.site.end_watches)

    async def connect(self) -> Peer:
        """Connect a client, which ends with the test."""
        peer = Peer()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), peer)
        self.addCleanup(peer.reset)
        return peer

    async def begin(
        self, path: str, method: str = "GET", body: bytes = b"", token: str = ADMIN, more: str = "", host: str = ""
    ) -> Peer:
        """Send a request; an empty token sends none."""
        host = host or f"127.0.0.1:{self.port}"
        peer = await self.connect()
        credentials = f"Authorization: Bearer {token}\r\n" if token else ""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{self.port}'}\r\n{credentials}{length}{more}\r\n"
        )
        peer.send(head.encode() + body)
        return peer

    async def ended(self, peer: Peer) -> None:
        """Wait until the server has ended the connection."""
        await wait_for(lambda: peer.lost or peer.finished is not None, "the end of the connection")

    async def fetch(self, path: str, **options: Any) -> tuple[int, Any]:
        """Send a request, and return the status and the JSON of the answer."""
        peer = await self.begin(path, **options)
        await wait_for(lambda: answer_of(bytes(peer.received)) is not None or peer.lost, "the answer")
        found = answer_of(bytes(peer.received))
        assert found is not None
        return found

    async def test_credentials(self) -> None:
        """A request without a token, or with another one, is refused; health needs none."""
        await self.start()
        for token in ("", "secret", "secret-aa"):
            status, answer = await self.fetch(GATEWAYS, token=token)
            self.assertEqual((status, answer["reason"]), (401, "Unauthorized"))
        status, _ = await self.fetch(GATEWAYS, token="secret-r")
        self.assertEqual(status, 200)
        self.assertEqual((await self.fetch("/livez", token=""))[0], 200)

    async def test_impersonation(self) -> None:
        """The admin may act as the reader; nobody else can be impersonated, and the reader impersonates nobody."""
        await self.start()
        for token, name, method, code in (
            (ADMIN, "reader", "GET", 200),
            (ADMIN, "reader", "DELETE", 403),
            (ADMIN, "admin", "GET", 200),
            (ADMIN, "bob", "GET", 403),
            ("secret-r", "admin", "GET", 403),
            ("secret-r", "reader", "GET", 200),
        ):
            more = f"Impersonate-User: {name}\r\nImpersonate-Group: x\r\n"
            status, _ = await self.fetch(GATEWAYS, token=token, method=method, more=more)
            self.assertEqual(status, code, f"{token} as {name}")
        status, answer = await self.fetch(GATEWAYS, more="Impersonate-Group: system:masters\r\n")
        self.assertEqual(status, 403)
        self.assertIn("only admin and reader", answer["message"])

    async def test_followed_logs(self) -> None:
        """A log goes on with each new line, until its container ends or so many bytes have been sent."""
        await self.start()
        log, pods = PodLog("c"), "/api/v1/namespaces/default/pods"
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
        status, _ = await self.fetch(pods, method="POST", body=json.dumps(pod).encode())
        self.assertEqual(status, 201)
        self.patch(self.site.answering, "_log_of", lambda namespace, name: log)
        log.write("2027-01-15T08:00:00Z", "first")
        peer = await self.begin(f"{pods}/p/log?follow=true")
        limited = await self.begin(f"{pods}/p/log?follow=true&limitBytes=7")
        await wait_for(lambda: peer.received.count(b"first") and limited.received.count(b"first"), "the first line")
        log.write("2027-01-15T08:00:01Z", "second")
        await wait_for(lambda: b"second\n" in peer.received, "the second line")
        await wait_for(lambda: limited.received.endswith(b"0\r\n\r\n"), "the end at the limit")
        self.assertNotIn(b"econd", limited.received)
        log.end()
        await wait_for(lambda: peer.received.endswith(b"0\r\n\r\n"), "the end")
        self.assertFalse(self.site.logs or log.followers)
        lost = await self.begin(f"{pods}/p/log?follow=true")
        await wait_for(lambda: log.followers, "another follower")
        lost.reset()
        await wait_for(lambda: not log.followers, "the follower to be forgotten")

    async def test_other_hosts(self) -> None:
        """A Host header with another name is refused, so that a web page cannot reach the API by a name of its own."""
        await self.start()
        for host in ("evil.example.com", "evil.example.com:18443", "127.0.0.1.evil.example.com", "[::2]:1"):
            self.assertEqual((await self.fetch(GATEWAYS, host=host))[0], 403, host)
        for host in ("localhost", "LOCALHOST:1", "[::1]:18443", "127.0.0.1"):
            self.assertEqual((await self.fetch(GATEWAYS, host=host))[0], 200, host)

    async def test_no_page_may_read(self) -> None:
        """No answer allows a page of another origin to read it."""
        await self.start()
        peer = await self.begin(GATEWAYS, more="Origin: https://evil.example.com\r\n")
        await wait_for(lambda: answer_of(bytes(peer.received)), "the answer")
        self.assertNotIn(b"access-control", bytes(peer.received).lower())

    async def test_pages_of_other_sites(self) -> None:
        """A request that a page of another site sends is refused, whatever its credentials are."""
        await self.start()
        own = f"http://127.0.0.1:{self.port}"
        for more, status in (
            ("Origin: https://evil.example.com\r\n", 403),
            ("Origin: null\r\n", 403),
            ("Origin: http://[\r\n", 403),
            ("Sec-Fetch-Site: cross-site\r\n", 403),
            ("Sec-Fetch-Site: same-site\r\n", 403),
            (f"Origin: {own}\r\nSec-Fetch-Site: same-origin\r\n", 200),
            ("Sec-Fetch-Site: none\r\n", 200),
        ):
            self.assertEqual((await self.fetch(GATEWAYS, more=more))[0], status, more)
        self.assertEqual((await self.fetch("/livez", token="", more="Origin: null\r\n"))[0], 403)

    async def test_odd_requests(self) -> None:
        """Odd but whole requests are answered with a Status, and the connection serves the next one."""
        await self.start()
        many = "&".join(f"a{number}=1" for number in range(200))
        for path, options, status in (
            (f"{GATEWAYS}?{many}", {}, 400),
            (f"{GATEWAYS}?limit=%", {}, 400),
            (f"{GATEWAYS}/%00", {}, 404),
            (f"{GATEWAYS}/%ff%fe", {}, 404),
            (f"{GATEWAYS}/a%2Fb", {}, 404),
            (f"{GATEWAYS}/" + "x" * 5_000, {}, 404),
            (f"http://127.0.0.1:{self.port}{GATEWAYS}", {"host": "ignored.example.com"}, 200),
            (f"https://evil.example.com{GATEWAYS}", {}, 403),
            ("127.0.0.1:443", {"method": "CONNECT"}, 405),
            ("*", {"method": "OPTIONS"}, 405),
            (GATEWAYS, {"method": "TRACE"}, 405),
            (GATEWAYS, {"method": "get"}, 405),
            (GATEWAYS, {"method": "POST", "body": b"{}", "more": "Content-Encoding: gzip\r\n"}, 415),
            (GATEWAYS, {"method": "POST", "body": b"a=b", "more": "Content-Type: multipart/form-data\r\n"}, 415),
            (GATEWAYS, {"method": "POST", "body": b"{", "more": "Expect: 100-continue\r\n"}, 400),
        ):
            peer = await self.begin(path, **options)
            peer.send(f"GET {GATEWAYS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: bearer {ADMIN}\r\n\r\n".encode())
            await wait_for(partial(_has_list, peer), f"the next answer, after {path}")
            self.assertRegex(bytes(peer.received), rb"(HTTP/1.1 100 Continue\r\n\r\n)?HTTP/1.1 %d " % status, path)
        peer = await self.begin(f"{GATEWAYS}?watch=1", method="HEAD")
        await wait_for(lambda: b"\r\n\r\n" in peer.received, "the head")
        self.assertEqual((self.site.watches, self.site.requests), (set(), 0))

    async def test_strangers_send_no_bodies(self) -> None:
        """A body is refused before it comes if the sender has no credentials."""
        await self.start()
        more = "Content-Length: 1000000\r\nExpect: 100-continue\r\n"
        peer = await self.begin(GATEWAYS, method="POST", token="", more=more)
        await self.ended(peer)
        self.assertTrue(peer.received.startswith(b"HTTP/1.1 401 "), bytes(peer.received))
        self.assertEqual(json.loads(peer.received.partition(b"\r\n\r\n")[2])["reason"], "Unauthorized")

    async def test_slow_requests(self) -> None:
        """A connection without a whole request in time is ended, however steadily bytes come."""
        self.patch(web, "COMPLETE_WITHIN", 0.2)
        await self.start()
        silent, slow = await self.connect(), await self.connect()
        body = await self.begin(GATEWAYS, method="POST", more="Content-Length: 100\r\n")

        def drip() -> bool:
            if not slow.lost:
                slow.send(b"G")
            return all(peer.lost is not None for peer in (silent, slow, body))

        await wait_for(drip, "the ends")
        await wait_for(lambda: not self.site.connections, "no connection to be left")

    async def test_connections_that_clients_keep(self) -> None:
        """They are closed when the API leaves its port to another process."""
        await self.start()
        kept = await self.begin(GATEWAYS)
        await wait_for(lambda: b"GatewayList" in kept.received, "the answer")
        self.assertIsNone(kept.lost)
        self.site.end_connections()
        await self.ended(kept)

    async def test_many_connections(self) -> None:
        """The number of connections is limited, and those that end make room."""
        self.patch(web, "CONNECTIONS_AT_ONCE", 2)
        await self.start()
        first, _ = await self.connect(), await self.connect()
        await wait_for(lambda: len(self.site.connections) == 2, "two connections")
        await self.ended(await self.connect())
        first.reset()
        await wait_for(lambda: len(self.site.connections) == 1, "room")
        self.assertEqual((await self.fetch(GATEWAYS))[0], 200)

    async def test_warnings_are_headers(self) -> None:
        """A warning has nothing that a header cannot have, and the number of warnings is limited."""
        await self.start()
        odd = gateway()
        odd["spec"].update({f"x{number}": 1 for number in range(200)})
        odd["spec"] = {'a\r\nevil: "1"\x00\ud800é\\': 1, **odd["spec"]}
        peer = await self.begin(GATEWAYS, method="POST", body=json.dumps(odd).encode())
        await wait_for(lambda: answer_of(bytes(peer.received)), "the answer")
        head = bytes(peer.received).partition(b"\r\n\r\n")[0]
        self.assertTrue(head.startswith(b"HTTP/1.1 201 "))
        self.assertNotRegex(head, rb"[\x00-\x08]|\nevil")
        self.assertLess(head.lower().count(b"\r\nwarning: "), 41)

    async def test_written_and_warned(self) -> None:
        """A write is answered with its object, and its warnings come as headers."""
        await self.start()
        odd = gateway()
        odd["spec"]["colour"] = "red"
        peer = await self.begin(GATEWAYS, method="POST", body=json.dumps(odd).encode())
        await wait_for(lambda: answer_of(bytes(peer.received)), "the answer")
        self.assertRegex(bytes(peer.received).decode(), r'(?i)\r\nwarning: 299 - "unknown field \\"spec.colour\\""\r\n')
        self.assertEqual(len(self.collection.list(GATEWAY)), 1)

    async def test_large_bodies(self) -> None:
        """A body over the limit is refused before it is read, whether its length is told or not."""
        await self.start()
        for head, body in (
            (f"Content-Length: {LARGEST_BODY + 1}\r\n", b""),
            ("Transfer-Encoding: chunked\r\n", b"100000\r\n" + b"x" * 0x100000 + b"\r\n80001\r\n" + b"x" * 0x80001),
        ):
            peer = await self.begin(GATEWAYS, method="POST", more=head)
            peer.send(body)
            await self.ended(peer)
            self.assertTrue(peer.received.startswith(b"HTTP/1.1 413 ") or peer.was_reset, bytes(peer.received))
        self.assertEqual((await self.fetch(GATEWAYS))[0], 200)

    async def test_broken_requests(self) -> None:
        """Requests that are not HTTP are refused, and leave nothing behind."""
        await self.start()
        for text in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n"):
            peer = await self.connect()
            peer.send(text)
            await self.ended(peer)
        peer = await self.begin(GATEWAYS, method="POST", more="Transfer-Encoding: chunked\r\n")
        peer.send(b"nonsense\r\n")
        await self.ended(peer)
        self.assertEqual(self.site.requests, 0)

    async def test_watched(self) -> None:
        """A watch gets each change as a line while the connection lasts; then it is forgotten."""
        await self.start()
        peer = await self.begin(f"{GATEWAYS}?watch=1")
        await wait_for(lambda: self.site.watches, "the watch")
        for port in (1, 2):
            if port == 1:
                await self.collection.create(GATEWAY, gateway(port=port), OPTIONS)
            else:
                await self.collection.update(GATEWAY, ("default", "a"), lambda before: gateway(port=2), OPTIONS)
        await self.collection.delete(GATEWAY, ("default", "a"), None, OPTIONS)
        await wait_for(lambda: peer.received.count(b'{"type":') == 3, "three events")
        self.assertEqual(re.findall(rb'\{"type":"([A-Z]+)"', bytes(peer.received)), [b"ADDED", b"MODIFIED", b"DELETED"])
        peer.reset()
        await wait_for(lambda: not self.site.watches, "the end of the watch")
        self.assertEqual(self.collection.window(GATEWAY).watchers, set())

    async def test_a_watch_ends(self) -> None:
        """A watch ends after the time that the client asks for, with a complete answer."""
        await self.start()
        peer = await self.begin(f"{GATEWAYS}?watch=1&timeoutSeconds=1")
        await wait_for(lambda: bytes(peer.received).endswith(b"0\r\n\r\n"), "the end of the answer")
        self.assertEqual(self.site.watches, set())

    async def test_bookmarks(self) -> None:
        """A watch that allows them gets bookmarks with the revision."""
        self.patch(answer_streams, "BOOKMARK_EVERY", 0.05)
        await self.start()
        peer = await self.begin(f"{GATEWAYS}?watch=1&allowWatchBookmarks=true")
        await wait_for(lambda: b'"BOOKMARK"' in peer.received, "a bookmark")
        self.assertIn(f'"resourceVersion":"{self.collection.revision}"'.encode(), bytes(peer.received))

    async def test_a_client_that_does_not_read(self) -> None:
        """
        A watch whose client reads nothing keeps no events, and ends with a 410 behind what the client can still read
        once the next of its events is forgotten.
        """
        self.patch(watch_window, "WINDOW", 20)
        await self.start()
        peer = await self.begin(f"{GATEWAYS}?watch=1")
        await wait_for(lambda: self.site.watches, "the watch")
        peer.transport.pauseProducing()
        large = gateway(annotations={"a": "x" * 200_000})
        await self.collection.create(GATEWAY, large, OPTIONS)
        for number in range(2_000):
            if not self.site.watches:
                break
            changed = {**large, "spec": gateway(port=number % 2 + 1)["spec"]}
            await self.collection.update(GATEWAY, ("default", "a"), partial(_instead, changed), OPTIONS)
        self.assertEqual(self.site.watches, set())
        self.assertEqual(self.collection.window(GATEWAY).watchers, set())
        peer.transport.resumeProducing()
        await wait_for(lambda: bytes(peer.received).endswith(b"\r\n0\r\n\r\n"), "the end of the answer")
        self.assertRegex(
            bytes(peer.received[-1_000:]), rb'\{"type":"ERROR","object":\{.*"reason":"Expired","code":410\}\}\n'
        )

    async def test_many_objects(self) -> None:
        """A watch that begins with thousands of objects gets all of them, and then what follows."""
        await self.start()
        for number in range(3_000):
            self.collection.put_foreign(GATEWAY, gateway(f"g{number:04}"), "a.yaml:1:1")
        peer = await self.begin(f"{GATEWAYS}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true")
        await wait_for(lambda: b'"BOOKMARK"' in peer.received, "the end of the initial events")
        await self.collection.create(GATEWAY, gateway("last"), OPTIONS)
        await wait_for(lambda: b'"name":"last"' in peer.received, "the next event")
        names = re.findall(rb'"ADDED".*?"name":"(\w+)"', bytes(peer.received))
        self.assertEqual(names, [*(f"g{number:04}".encode() for number in range(3_000)), b"last"])

    async def test_too_many_watches(self) -> None:
        """The number of watches is limited, and one more is refused."""
        self.patch(web, "WATCHES_AT_ONCE", 1)
        await self.start()
        await self.begin(f"{GATEWAYS}?watch=1")
        await wait_for(lambda: self.site.watches, "the watch")
        self.assertEqual((await self.fetch(f"{GATEWAYS}?watch=1"))[0], 429)


def _has_list(peer: Peer) -> bool:
    return b"GatewayList" in peer.received


def answer_of(received: bytes) -> tuple[int, Any] | None:
    """The status and the content of an answer with a length, if it is complete; text where it is no JSON."""
    head, separator, content = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if not separator or length is None or len(content) < int(length[1]):
        return None
    try:
        return int(head.split()[1]), json.loads(content)
    except ValueError:
        return int(head.split()[1]), content.decode()


def _instead(body: Any, before: Any) -> Any:
    """The wanted object, whatever the present one is."""
    return body
