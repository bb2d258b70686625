"""
The HTTPS service of the lab: it answers every GET with a JSON document that names the service.

The document has the form that demonstrations of service meshes commonly use, so that their transcripts compare.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from meshgate import __version__
from meshgate.lab.listening import ListeningService, LiveConnections, WorkloadError
from meshgate.settings.service_sections import HttpsSettings

_SERVER = f"meshgate/{__version__}".encode()
_METHODS = (b"GET", b"HEAD")
_KEY_TYPES = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, Ed25519PrivateKey, Ed448PrivateKey)


class HelloResource(Resource):
    """
    The resource at every path of one service.

    :param name: the service's name.
    :param message: the answer's ``body``.
    :param clock: returns the nanoseconds since the epoch.
    """

    isLeaf = True

    def __init__(self, name: str, message: str, clock: Callable[[], int] = time.time_ns) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = name
        self._message = message
        self._clock = clock

    def render(self, request: Request) -> bytes:
        """Answer GET and HEAD; refuse all other methods with 405."""
        started = self._clock()
        headers = request.responseHeaders
        headers.setRawHeaders(b"server", [_SERVER])
        if request.method not in _METHODS:
            request.setResponseCode(http.NOT_ALLOWED)
            headers.setRawHeaders(b"allow", [b", ".join(_METHODS)])
            headers.setRawHeaders(b"content-type", [b"text/plain; charset=utf-8"])
            return b"this service answers GET and HEAD only\n"
        body = self._answer(request, started)
        headers.setRawHeaders(b"content-type", [b"application/json"])
        # twisted.web sets the length of sent bodies only, and logs an error for a body in answer to HEAD.
        headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
        return b"" if request.method == b"HEAD" else body

    def _answer(self, request: Request, started: int) -> bytes:
        ended = self._clock()
        answer = {
            "name": self._name,
            "uri": request.uri.decode("ascii", "replace"),
            "type": "HTTP",
            "ip_addresses": [request.getHost().host],  # type: ignore[no-untyped-call]
            "start_time": format_time(started),
            "end_time": format_time(ended),
            "duration": format_duration(ended - started),
            "body": self._message,
            "code": 200,
        }
        return f"{json.dumps(answer, indent=2, ensure_ascii=False)}\n".encode()


def format_time(nanoseconds: int) -> str:
    """
    Write a moment as ``2026-11-22T15:00:00.123456``, in UTC.

    :param nanoseconds: since the epoch.
    """
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}"


def format_duration(nanoseconds: int) -> str:
    """
    Write a span of time in the largest unit that fits, as ``210.4µs``.

    :param nanoseconds: a negative span, of a clock that was set back meanwhile, counts as zero.
    """
    span = max(nanoseconds, 0)
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if span >= size:
            return f"{span / size:.12g}{unit}"
    return f"{span}ns"


class _Channel(http.HTTPChannel):
    """An HTTP/1.1 connection; while it lasts, it is one of its site's."""

    factory: HttpsSite

    def connectionMade(self) -> None:
        self.factory.live.opened(self)
        super().connectionMade()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.live.closed(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class HttpsSite(Site):
    """
    A site of one resource, without an access log.

    :param resource: answers every path.
    :ivar live: the open connections.
    """

    noisy = False
    protocol = _Channel  # type: ignore[assignment]

    def __init__(self, resource: Resource, reactor: IReactorTime) -> None:
        super().__init__(resource, reactor=reactor)  # type: ignore[no-untyped-call]
        self.live = LiveConnections()

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 only, also where Twisted could speak HTTP/2: the channel speaks nothing else."""
        return [b"http/1.1"]

    def log(self, request: http.Request) -> None:
        """Log nothing: the access log to read is the gateway's."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """
    The certificate and the key of a TLS server.

    :ivar certificate_chain: PEM, the server's own certificate first.
    :ivar key: PEM, not encrypted.
    :ivar certificate_name: the name of the certificate in messages, such as its file.
    :ivar key_name: the name of the key in messages.
    """

    certificate_chain: bytes
    key: bytes = field(repr=False)
    certificate_name: str
    key_name: str


def read_key_pair(certificate_chain: Path, key: Path) -> KeyPair:
    """
    Read the certificate and the key of a TLS server from their files.

    :raises WorkloadError: if a file cannot be read.
    """
    pair = (_read(certificate_chain, "certificate"), _read(key, "key"))
    return KeyPair(*pair, str(certificate_chain), str(key))


def make_tls(pair: KeyPair) -> CertificateOptions:
    """
    Make the context of a TLS server.

    :return: a context for TLS 1.2 and later.
    :raises WorkloadError: if the certificate and the key cannot be used, or do not belong together.
    """
    certificate_chain, key = pair.certificate_name, pair.key_name
    try:
        certificates = x509.load_pem_x509_certificates(pair.certificate_chain)
    except ValueError as error:
        raise WorkloadError(f"the certificate {certificate_chain} is not a PEM certificate") from error
    try:
        private_key = serialization.load_pem_private_key(pair.key, password=None)
    except TypeError as error:
        raise WorkloadError(f"the key {key} is encrypted, and a service cannot ask for a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WorkloadError(f"the key {key} is not a PEM private key") from error
    if not isinstance(private_key, _KEY_TYPES):
        raise WorkloadError(f"the key {key} is of a kind that TLS servers do not use")
    if certificates[0].public_key() != private_key.public_key():
        raise WorkloadError(f"the key {key} does not belong to the certificate {certificate_chain}")
    own, *above = (X509.from_cryptography(certificate) for certificate in certificates)
    return CertificateOptions(
        privateKey=PKey.from_cryptography_key(private_key),
        certificate=own,
        extraCertChain=above,
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


def _read(path: Path, noun: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WorkloadError(f"the {noun} {path} cannot be read: {error.strerror}") from error


def over_tls(site: HttpsSite, tls: CertificateOptions, reactor: IReactorTime) -> ServerFactory:
    """
    Put a site behind TLS.

    :param tls: from :func:`make_tls`.
    """
    # Twisted derives the class from ClientFactory, yet it serves both sides.
    return cast(ServerFactory, TLSMemoryBIOFactory(tls, False, site, clock=reactor))


def https_service(settings: HttpsSettings, pair: KeyPair, reactor: IReactorTCP) -> ListeningService:
    """
    Make an HTTPS service.

    :raises WorkloadError: if the certificate or the key cannot be used.
    """
    message = settings.message or f"Hello from {settings.name}!!!"
    time_source = IReactorTime(reactor)
    site = HttpsSite(HelloResource(settings.name, message), time_source)
    factory = over_tls(site, make_tls(pair), time_source)
    title = f"the lab's HTTPS service {settings.name}"
    return ListeningService(title, settings.bind, settings.port, factory, site.live, reactor)
