"""The workloads of the lab: echo and HTTPS services, started and stopped together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTCP, IReactorTime

from meshgate.lab.certificates import ensure_certificates
from meshgate.lab.echo import EchoFactory
from meshgate.lab.https import HelloResource, HttpsSite, load_tls, over_tls
from meshgate.lab.listening import ListeningService, WorkloadError
from meshgate.settings.schema import EchoSettings, HttpsSettings, LabSettings


def echo_service(settings: EchoSettings, reactor: IReactorTCP) -> ListeningService:
    """Make an echo service."""
    factory = EchoFactory(settings)
    return ListeningService("the lab's echo service", settings.bind, settings.port, factory, factory.live, reactor)


def https_service(
    settings: HttpsSettings, certificate_chain: Path, key: Path, reactor: IReactorTCP
) -> ListeningService:
    """
    Make an HTTPS service.

    :raises WorkloadError: if the certificate or the key cannot be used.
    """
    message = settings.message or f"Hello from {settings.name}!!!"
    time_source = IReactorTime(reactor)
    site = HttpsSite(HelloResource(settings.name, message), time_source)
    factory = over_tls(site, load_tls(certificate_chain, key), time_source)
    title = f"the lab's HTTPS service {settings.name}"
    return ListeningService(title, settings.bind, settings.port, factory, site.live, reactor)


def make_lab(
    settings: LabSettings,
    certificates_folder: Path,
    reactor: IReactorTCP,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> IService:
    """
    Make the service that runs all services of the lab.

    Its ``startService`` makes the certificates that are needed and binds every port. If it raises
    :exc:`~meshgate.lab.listening.WorkloadError` or :exc:`~meshgate.lab.certificates.CertificatesError`, no port stays
    open. Its ``stopService`` frees the ports and resets the live connections.

    :param certificates_folder: the folder of the HTTPS services' certificates; unused if there are none.
    :param now: returns the present time, with its time zone.
    """
    return _Lab(settings, certificates_folder, reactor, now)


class _Lab(Service):
    def __init__(
        self,
        settings: LabSettings,
        certificates_folder: Path,
        reactor: IReactorTCP,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
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
        services = [echo_service(each, self._reactor) for each in self._settings.echo]
        https = self._settings.https
        if https:
            hosts = {each.name: each.hosts for each in https}
            if len(hosts) < len(https):
                raise WorkloadError("two HTTPS services of the lab have the same name")
            leaves = ensure_certificates(self._certificates_folder, hosts, self._now())
            for each in https:
                leaf = leaves[each.name]
                services.append(https_service(each, leaf.certificate_chain, leaf.key, self._reactor))
        return services
