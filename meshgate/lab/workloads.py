"""
The lab: echo and HTTPS services on loopback, started and stopped together, for the gateway to route to.

Puts the services and their certificates together; knows nothing of settings files and routes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTCP, IReactorTime

from meshgate.lab.certificates import ensure_certificates
from meshgate.lab.echo import EchoFactory, Greeting
from meshgate.lab.https import HelloResource, HttpsSite, load_tls, over_tls
from meshgate.lab.listening import ListeningService, WorkloadError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class EchoWorkload:
    """
    One echo service.

    :ivar port: the TCP port to listen on.
    :ivar bind: the IP address to listen on.
    :ivar greeting: what it says to a client that arrives.
    """

    port: int
    bind: str = LOOPBACK
    greeting: Greeting = field(default_factory=Greeting)


@dataclass(frozen=True, slots=True)
class HttpsWorkload:
    """
    One HTTPS service.

    :ivar name: its name in its answers and its certificate's file names.
    :ivar hosts: the DNS names in its certificate.
    :ivar port: the TCP port to listen on.
    :ivar bind: the IP address to listen on.
    :ivar message: the ``body`` of its answers; empty for ``Hello from NAME!!!``.
    """

    name: str
    hosts: tuple[str, ...]
    port: int
    bind: str = LOOPBACK
    message: str = ""


def echo_service(workload: EchoWorkload, reactor: IReactorTCP) -> ListeningService:
    """Make the service of an echo workload."""
    factory = EchoFactory(workload.greeting)
    what = "the lab's echo service"
    return ListeningService(what, workload.bind, workload.port, factory, factory.live, reactor)


def https_service(
    workload: HttpsWorkload, certificate_chain: Path, key: Path, reactor: IReactorTCP
) -> ListeningService:
    """
    Make the service of an HTTPS workload.

    :raises WorkloadError: when the certificate or the key cannot be used.
    """
    message = workload.message or f"Hello from {workload.name}!!!"
    time_source = IReactorTime(reactor)
    site = HttpsSite(HelloResource(workload.name, message), time_source)
    factory = over_tls(site, load_tls(certificate_chain, key), time_source)
    what = f"the lab's HTTPS service {workload.name}"
    return ListeningService(what, workload.bind, workload.port, factory, site.live, reactor)


def make_lab(
    echo: Sequence[EchoWorkload],
    https: Sequence[HttpsWorkload],
    certificates_folder: Path,
    reactor: IReactorTCP,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> IService:
    """
    Make the service that runs all workloads.

    Nothing is touched before it starts. Its ``startService`` makes the certificates where needed and binds
    every port; when it raises :exc:`~meshgate.lab.listening.WorkloadError` or
    :exc:`~meshgate.lab.certificates.CertificatesError`, none stays open. Its ``stopService`` frees the ports
    and resets the live connections.

    :param certificates_folder: where the HTTPS workloads' certificates are kept; not touched without any.
    :param now: tells the present time, with its time zone.
    """
    return _Lab(tuple(echo), tuple(https), certificates_folder, reactor, now)


class _Lab(Service):
    def __init__(
        self,
        echo: tuple[EchoWorkload, ...],
        https: tuple[HttpsWorkload, ...],
        certificates_folder: Path,
        reactor: IReactorTCP,
        now: Callable[[], datetime],
    ) -> None:
        self._echo = echo
        self._https = https
        self._certificates_folder = certificates_folder
        self._reactor = reactor
        self._now = now
        self._services: list[ListeningService] = []

    def startService(self) -> None:
        self._services = self._make_services()
        try:
            for service in self._services:
                service.startService()
        except WorkloadError:
            self.stopService()
            raise
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        services, self._services = self._services, []
        return gatherResults([service.stopService() for service in services]).addCallback(lambda _: None)

    def _make_services(self) -> list[ListeningService]:
        services = [echo_service(workload, self._reactor) for workload in self._echo]
        if self._https:
            hosts = {workload.name: workload.hosts for workload in self._https}
            if len(hosts) < len(self._https):
                raise WorkloadError("two HTTPS services of the lab have the same name")
            leaves = ensure_certificates(self._certificates_folder, hosts, self._now())
            for workload in self._https:
                leaf = leaves[workload.name]
                services.append(https_service(workload, leaf.certificate_chain, leaf.key, self._reactor))
        return services
