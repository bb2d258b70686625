"""Tests of :mod:`meshgate.api.api_port`: its port with TLS, and without."""

from __future__ import annotations

import random
import socket
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from meshgate.api import api_port
from meshgate.api.answering import Answering
from meshgate.api.api_client import ApiClient, ApiClientError
from meshgate.api.api_port import ApiPort
from meshgate.api.credentials import LIFETIME
from meshgate.api.web import ApiSite
from meshgate.settings.service_sections import ApiSettings
from tests.api.api_objects import MemoryStore, collection_of, no_log, no_warnings
from tests.peers import Peer
from tests.support import free_port, new_folder, reactor, wait_for

NAMESPACES = "/api/v1/namespaces"
SECRETS = "/api/v1/secrets"
BODY = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}}


class ApiPortTests(TestCase):
    """The port of an API with an empty store."""

    timeout = 60

    def start(self, **settings: Any) -> ApiPort:
        """Listen on a free port."""
        self.folder = Path(new_folder(self))
        self.now = datetime.now(UTC)
        found = ApiSettings.model_validate({"port": free_port(), **settings})
        port = ApiPort(reactor, found, self.folder, "default", lambda: self.now)
        clock = partial(float, 1_800_000_000)
        collection = collection_of(MemoryStore())
        answering = Answering(collection, lambda: True, no_warnings, no_log, clock, random.Random(1))
        self.site = ApiSite(answering, port.access, reactor)
        port.listen(self.site)
        self.addCleanup(port.stop)
        return port

    def client(self, user: str = "kubeconfig") -> ApiClient:
        """A client with the present credentials of a user."""
        return ApiClient(self.folder / user)

    async def refusal(self, client: ApiClient, *arguments: Any) -> int:
        """The status with which a request is refused; 0 if there is no answer, 200 if it is not refused."""
        try:
            await deferToThread(client.send, *arguments)
        except ApiClientError as error:
            return error.code
        return 200

    async def test_not_tls(self) -> None:
        """A client that speaks HTTP is told to speak HTTPS; anything else ends the connection."""
        port = self.start()
        for sent, words in (
            (b"GET / HTTP/1.1\r\n\r\n", b"use https://"),
            (b"\x16\x03\x01\x00\x05\x63\x00\x00\x01\x00", b""),
            (b"\x00" * 90, b""),
        ):
            peer = Peer()
            await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.number), peer)
            peer.send(sent)
            await wait_for(partial(_ended, peer), "the end")
            self.assertIn(words, bytes(peer.received))
            peer.reset()
        await wait_for(lambda: not self.site.connections, "no connection to be left")
        self.assertEqual(await self.refusal(self.client(), "GET", NAMESPACES), 200)

    async def test_protocols(self) -> None:
        """A client may offer HTTP/2, and gets HTTP/1.1; versions of TLS that are not safe are refused."""
        port = self.start()

        def connect(version: ssl.TLSVersion) -> str | None:
            context = ssl.create_default_context(cafile=str(self.folder / "api" / "certificate.pem"))
            context.maximum_version = version
            context.set_alpn_protocols(["h2", "http/1.1"])
            with (
                socket.create_connection(("127.0.0.1", port.number), timeout=20) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as secure,
            ):
                return secure.selected_alpn_protocol()

        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            self.assertEqual(await deferToThread(connect, version), "http/1.1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            await self.assertFailure(deferToThread(connect, ssl.TLSVersion.TLSv1_1), ssl.SSLError)

    async def test_users(self) -> None:
        """The reader reads, but no Secrets, and writes nothing."""
        self.start()
        admin, reader = self.client(), self.client("kubeconfig.reader")
        for client, codes in ((admin, (200, 200, 200, 200)), (reader, (200, 403, 403, 403))):
            found = [await self.refusal(client, "GET", path) for path in (NAMESPACES, SECRETS, "/history")]
            found.append(await self.refusal(client, "POST", NAMESPACES, BODY))
            self.assertEqual(tuple(found), codes)

    async def test_rotated(self) -> None:
        """A token that is deleted, and a certificate near its end, are replaced while the API runs."""
        self.patch(api_port, "CHECKED_EVERY", 0.05)
        port = self.start()
        before, kubeconfig = self.client(), (self.folder / "kubeconfig").read_text()
        self.assertEqual(await self.refusal(before, "GET", NAMESPACES), 200)
        (self.folder / "api" / "admin.token").unlink()
        await wait_for(lambda: (self.folder / "kubeconfig").read_text() != kubeconfig, "another token")
        self.assertEqual(await self.refusal(before, "GET", NAMESPACES), 401)
        self.assertEqual(await self.refusal(self.client(), "GET", NAMESPACES), 200)
        old = await deferToThread(ssl.get_server_certificate, ("127.0.0.1", port.number))
        self.now += LIFETIME - timedelta(days=10)
        await wait_for(lambda: (self.folder / "api" / "certificate.pem").read_text() != old, "another certificate")
        await wait_for(lambda: port._certificate.decode() != old, "its use")
        new = await deferToThread(ssl.get_server_certificate, ("127.0.0.1", port.number))
        self.assertNotEqual(new.strip(), old.strip())

    async def test_plain_http(self) -> None:
        """HTTP is for reading, and without Secrets, unless writing is asked for as well."""
        for writes, codes in ((False, (200, 403, 403)), (True, (200, 200, 200))):
            port = self.start(http=True, http_writes=writes)
            client = self.client()
            found = [await self.refusal(client, "GET", path) for path in (NAMESPACES, SECRETS)]
            found.append(await self.refusal(client, "POST", NAMESPACES, BODY))
            self.assertEqual(tuple(found), codes)
            self.assertNotIn("token", (self.folder / "kubeconfig").read_text())
            await port.stop()


def _ended(peer: Peer) -> bool:
    return peer.lost is not None or peer.finished is not None
