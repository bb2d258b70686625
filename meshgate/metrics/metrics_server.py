"""
The HTTP server of ``/metrics``, ``/livez`` and ``/readyz``.

Prometheus and load balancers ask in plain HTTP without credentials, so the server has a port of its own, on loopback
unless the settings say otherwise; the Kubernetes API has another one, with TLS and tokens. Nothing can be changed here.
Requests have no body, and their number at once is limited, since whoever reaches the port may send them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from prometheus_client.exposition import choose_encoder
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from meshgate.metrics.metric_families import GatewayCollector
from meshgate.metrics.readiness import Check
from meshgate.processes.launch import StartError
from meshgate.routing.addresses import host_port
from meshgate.settings.service_sections import MetricsSettings

IDLE: Final = 60.0
"""Seconds that a connection may stay without a request."""

CONNECTIONS_AT_ONCE: Final = 100

_TEXT: Final = b"text/plain; charset=utf-8"


class _Page(Resource):
    """A page without pages below it."""

    isLeaf = False

    def __init__(self, render: Callable[[Request], bytes]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._render = render

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"cache-control", b"no-store")  # type: ignore[no-untyped-call]
        return self._render(request)


class _BodilessRequest(Request):
    """A request that is refused if it has a body."""

    def gotLength(self, length: int | None) -> None:
        if length:
            self._refuse()
        super().gotLength(length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        self._refuse()

    def _refuse(self) -> None:
        channel: Any = self.channel
        channel.loseConnection()


class _QuietSite(Site):
    """A site that logs no request: a scrape each second would fill the log."""

    noisy = False
    requestFactory = _BodilessRequest

    def log(self, request: Any) -> None:
        pass


class _LimitedFactory(WrappingFactory):
    """A factory that serves :data:`CONNECTIONS_AT_ONCE` connections, and closes others at once."""

    noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        return super().buildProtocol(addr) if len(self.protocols) < CONNECTIONS_AT_ONCE else None


class MetricsServer:
    """
    The server.

    :param checks: returns the conditions of readiness.
    :param listen: opens the port, as IReactorTCP.listenTCP does.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        collector: GatewayCollector,
        checks: Callable[[], list[Check]],
        listen: Callable[..., IListeningPort],
    ) -> None:
        self._reactor = reactor
        self._listen = listen
        self._collector = collector
        self._checks = checks
        self._port: IListeningPort | None = None
        self._site: WrappingFactory | None = None

    def start(self, settings: MetricsSettings) -> None:
        """
        Listen.

        :raises StartError: if the port cannot be bound.
        """
        quiet: Any = _QuietSite(self.root(), timeout=IDLE, reactor=self._reactor)  # type: ignore[no-untyped-call]
        site = self._site = _LimitedFactory(quiet)  # type: ignore[no-untyped-call]
        try:
            self._port = self._listen(settings.port, site, interface=settings.bind)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            address = host_port(settings.bind, settings.port)
            raise StartError(f"the port of the metrics {address} cannot be bound: {reason}") from None
        address = host_port(settings.bind, self.port)
        self._log.info("metrics are at http://{address}/metrics", address=address)

    async def stop(self) -> None:
        """Free the port, and close the connections, which clients keep for their next requests."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        for connection in tuple(self._site.protocols) if self._site is not None else ():
            connection.loseConnection()

    @property
    def port(self) -> int:
        """The number of the port; 0 while there is none."""
        address: Any = self._port.getHost() if self._port is not None else None
        return address.port if address is not None else 0

    def root(self) -> Resource:
        """The pages."""
        root = _Page(self._index)
        for path, render in (
            (b"", self._index),
            (b"metrics", self._metrics),
            (b"livez", self._livez),
            (b"readyz", self._readyz),
        ):
            root.putChild(path, _Page(render))
        return root

    def _index(self, request: Request) -> bytes:
        _set_type(request, _TEXT)
        return b"/metrics\n/livez\n/readyz\n"

    def _metrics(self, request: Request) -> bytes:
        accept = request.getHeader(b"accept") or b""
        content_type = choose_encoder(accept.decode("latin-1"))[1]
        _set_type(request, content_type.encode())
        return self._collector.text(openmetrics="openmetrics" in content_type).encode()

    def _livez(self, request: Request) -> bytes:
        _set_type(request, _TEXT)
        return b"ok\n"

    def _readyz(self, request: Request) -> bytes:
        _set_type(request, _TEXT)
        checks = self._checks()
        ready = all(check.passed for check in checks)
        if not ready:
            request.setResponseCode(503)
        return "\n".join([*map(str, checks), "ready" if ready else "not ready", ""]).encode()


def _set_type(request: Request, content_type: bytes) -> None:
    request.setHeader(b"content-type", content_type)  # type: ignore[no-untyped-call]
