"""
The lab beside the gateway: its echo and HTTPS services, started and stopped together and replaced when the settings
change, and the banner on standard error with a command to try on each open port.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTCP

from meshgate.lab.certificates import CHAIN_FILE, ensure_certificates
from meshgate.lab.echo import echo_service
from meshgate.lab.https import https_service, read_key_pair
from meshgate.lab.listening import ListeningService, WorkloadError
from meshgate.routing.table import ANY_IPV4, Listener, RoutingTable
from meshgate.settings.service_sections import LabSettings


class Lab:
    """
    The services of the lab, if the settings ask for any.

    :param reactor: provides IReactorTCP, IReactorTime and IReactorCore.
    :param listen: opens ports, as IReactorTCP.listenTCP does.
    """

    def __init__(self, reactor: Any, listen: Callable[..., IListeningPort]) -> None:
        self._reactor = reactor
        self._listen = listen
        self._services: _LabServices | None = None

    def start(self, settings: LabSettings | None, state_dir: Path) -> None:
        """
        Start the services.

        :param settings: None for no services.
        :param state_dir: the folder to which that of the certificates is relative.
        :raises WorkloadError: if a port cannot be bound.
        :raises CertificatesError: if the certificates cannot be made.
        """
        if settings is not None:
            self._services = make_lab(settings, state_dir / settings.certificates, self._reactor, listen=self._listen)
            self._services.startService()

    def drain(self, seconds: float) -> Deferred[None]:
        """
        Free the ports, and wait for the connections to end.

        :param seconds: the time that they have.
        """
        if self._services is None:
            return succeed(None)
        return self._services.drain().addTimeout(seconds, self._reactor)

    def stop(self) -> Deferred[None]:
        """Stop the services. The result fires when their ports are free."""
        services, self._services = self._services, None
        return succeed(None) if services is None else maybeDeferred(services.stopService)

    def announce(
        self, table: RoutingTable, certificates: Path, routes: Iterable[str], kubeconfig: Path | None = None
    ) -> None:
        """
        Print the ports and the lines to try on each, as soon as the reactor runs.

        :param certificates: the folder of the certificates.
        :param routes: the files and folders of the routes.
        :param kubeconfig: the file for kubectl; None where there is no API.
        """
        file = _short(kubeconfig) if kubeconfig is not None else ""
        variable = file if not file or os.path.isabs(file) else f"$PWD/{file}"
        text = banner(table, _short(certificates), map(_short, routes), variable)
        self._reactor.callWhenRunning(os.write, 2, text.encode())


def make_lab(
    settings: LabSettings,
    certificates_folder: Path,
    reactor: IReactorTCP,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    listen: Callable[..., IListeningPort] | None = None,
) -> _LabServices:
    """
    Make the service that runs all services of the lab.

    Its ``startService`` makes the certificates that are needed and binds every port. If it raises
    :exc:`~meshgate.lab.listening.WorkloadError` or :exc:`~meshgate.lab.certificates.CertificatesError`, no port stays
    open. Its ``stopService`` frees the ports and resets the live connections.

    :param certificates_folder: the folder of the HTTPS services' certificates; unused if there are none.
    :param now: returns the present time, with its time zone.
    :param listen: opens ports, as IReactorTCP.listenTCP does; None for that of the reactor.
    """
    return _LabServices(settings, certificates_folder, reactor, now, listen or reactor.listenTCP)


class _LabServices(Service):
    def __init__(
        self,
        settings: LabSettings,
        certificates_folder: Path,
        reactor: IReactorTCP,
        now: Callable[[], datetime],
        listen: Callable[..., IListeningPort],
    ) -> None:
        self._settings = settings
        self._certificates_folder = certificates_folder
        self._reactor = reactor
        self._now = now
        self._listen = listen
        self._services: list[ListeningService] = []

    def startService(self) -> None:
        self._services = self._make_services()
        try:
            for service in self._services:
                service.listen = self._listen
                service.startService()
        except WorkloadError:
            self.stopService()
            raise
        super().startService()  # type: ignore[no-untyped-call]

    def drain(self) -> Deferred[None]:
        # One that is cancelled has ended, too.
        draining = [service.drain() for service in self._services]
        return DeferredList(draining, consumeErrors=True).addCallback(lambda _: None)

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
                services.append(https_service(each, read_key_pair(leaf.certificate_chain, leaf.key), self._reactor))
        return services


def banner(table: RoutingTable, certificates: str, routes: Iterable[str], kubeconfig: str = "") -> str:
    """
    Write the text from the routing table in force, so that every command in it works.

    :param certificates: the folder with the chain of the certificate authority.
    :param routes: the files and folders of the routes.
    :param kubeconfig: the file for kubectl; empty where there is no API.
    """
    lines = ["", "meshgate is up and listening:"]
    for key in sorted(table.listeners):
        lines += _commands(table.listeners[key], f"{certificates}/{CHAIN_FILE}")
    if kubeconfig:
        lines += ["  kubectl:", f"    export KUBECONFIG={kubeconfig}"]
    lines += [f"Edit {', '.join(routes)} and watch the routes follow. Ctrl-C ends it.", ""]
    return "\n".join(lines) + "\n"


def _commands(listener: Listener, ca_chain: str) -> Iterator[str]:
    bind, port = listener.key
    address = "127.0.0.1" if bind == ANY_IPV4 else bind
    if not listener.sniffs:
        yield f"  port {port}, TCP:"
        yield f"    telnet {address} {port}"
        return
    yield f"  port {port}, TLS by server name:"
    for name in sorted(listener.exact):
        if not listener.exact[name].refusal:
            yield f"    curl --cacert {ca_chain} --resolve {name}:{port}:{address} https://{name}:{port}/"


def _short(path: str | Path) -> str:
    """A path as short as it can be typed in the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
