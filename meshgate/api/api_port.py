"""
The port of the API: HTTPS with credentials, or HTTP without them where the settings ask for it.

The credentials are files. A file that somebody deletes, and a certificate near its end, are replaced while the API
runs, and count from then on for new connections and requests.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from zope.interface import implementer

from meshgate.api.access import Access
from meshgate.api.credentials import KUBECONFIGS, Credentials, ensure_credentials, prepare_folder, write_kubeconfigs
from meshgate.api.web import ApiSite
from meshgate.routing.addresses import host_port
from meshgate.settings.service_sections import ApiSettings
from meshgate.state.folder import API_FOLDER

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
"""The names by which a client on this machine may reach the API."""

CHECKED_EVERY: Final = 60.0
"""Seconds between two looks at the credentials."""

_WORDS: Final = (
    b"This port speaks HTTPS, and a client has sent an HTTP request to it: use https:// and the kubeconfig.\n"
)
_PLAIN_HTTP: Final = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_WORDS), _WORDS)
)


@implementer(IOpenSSLContextFactory)
class CurrentContext:
    """The context of TLS for each new connection: a context factory as Twisted knows it."""

    def __init__(self, credentials: Credentials) -> None:
        self.use(credentials)

    def use(self, credentials: Credentials) -> None:
        """
        Use a certificate from now on.

        :raises OSError: if its files cannot be read.
        """
        content = credentials.certificate.read_bytes() + credentials.key.read_bytes()
        own: Any = PrivateCertificate.loadPEM(content)  # type: ignore[no-untyped-call]
        # Clients such as kubectl's offer HTTP/2 as well, and want an answer to that.
        self._options = CertificateOptions(own.privateKey.original, own.original, acceptableProtocols=[b"http/1.1"])

    def getContext(self) -> SSL.Context:
        """The context."""
        context: SSL.Context = self._options.getContext()
        return context


class TlsTransport(BufferingTLSTransport):
    """The TLS of one connection; a client that begins with HTTP instead is told so."""

    _begun = False

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of the network."""
        if not self._begun:
            self._begun = True
            if data[:1].isalpha():
                transport: Any = self.transport
                transport.write(_PLAIN_HTTP)
                transport.loseConnection()
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]


class TlsSite(TLSMemoryBIOFactory):
    """The API over TLS."""

    protocol = TlsTransport
    noisy = False

    def __init__(self, context: CurrentContext, site: ApiSite) -> None:
        super().__init__(context, False, site, site.clock)
        self._site = site

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocols of a connection; None for one more than there may be."""
        inner = self._site.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)


class ApiPort:
    """
    The port.

    :param namespace: the namespace of commands that name none.
    :param utc_now: returns the present time.
    :raises OSError: if the credentials cannot be read or written.
    :ivar access: who may do what.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, settings: ApiSettings, state_dir: Path, namespace: str, utc_now: Callable[[], datetime]
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._state_dir = state_dir
        self._namespace = namespace
        self._utc_now = utc_now
        self._port: IListeningPort | None = None
        self._context: CurrentContext | None = None
        self._certificate = b""
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        self._credentials = None if settings.http else self._ensure()
        prepare_folder(state_dir / API_FOLDER)
        anonymous = ("anonymous", settings.http_writes) if settings.http else None
        tokens = self._credentials.tokens if self._credentials is not None else ()
        self.access = Access(tokens, self._names(), anonymous)

    def listen(self, site: ApiSite, listen: Callable[..., IListeningPort] | None = None) -> None:
        """
        Listen, and write the kubeconfig files.

        :param listen: opens the port, as IReactorTCP.listenTCP does; None for that of the reactor.
        :raises CannotListenError: if the port cannot be bound.
        :raises OSError: if a file cannot be written.
        """
        settings = self._settings
        factory: Any = site
        if self._credentials is not None:
            self._context = CurrentContext(self._credentials)
            self._certificate = self._credentials.certificate.read_bytes()
            factory = TlsSite(self._context, site)
        self._port = (listen or self._reactor.listenTCP)(settings.port, factory, interface=settings.bind)
        self._write_kubeconfigs()
        if self._credentials is not None:
            self._looking.start(CHECKED_EVERY, now=False)
        form = "https" if self._credentials is not None else "http"
        self._log.info(
            "the API listens on {form}://{address}; export KUBECONFIG={file}",
            form=form,
            address=host_port(settings.bind, self.number),
            file=self._state_dir / KUBECONFIGS["admin"],
        )

    @property
    def number(self) -> int:
        """The TCP port; 0 if it is not open."""
        address: Any = self._port.getHost() if self._port is not None else None
        return address.port if address is not None else 0

    async def stop(self) -> None:
        """Listen no longer."""
        if self._looking.running:
            self._looking.stop()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        self._port = None

    def _names(self) -> tuple[str, ...]:
        return (self._settings.bind, *LOCAL_NAMES, *self._settings.names)

    def _ensure(self) -> Credentials:
        return ensure_credentials(self._state_dir / API_FOLDER, self._names(), self._utc_now())

    def _write_kubeconfigs(self) -> None:
        bind = self._settings.bind
        write_kubeconfigs(self._state_dir, self._credentials, bind, self.number, self._namespace)

    def _look(self) -> None:
        """Replace what is deleted or near its end, and use it."""
        try:
            self._credentials = self._ensure()
            certificate = self._credentials.certificate.read_bytes()
            if self._context is not None and certificate != self._certificate:
                self._context.use(self._credentials)
                self._certificate = certificate
            self.access.use_tokens(self._credentials.tokens)
            self._write_kubeconfigs()
        except (OSError, SSL.Error) as error:
            self._log.warn("the credentials of the API cannot be read; those of before count: {error}", error=error)
