"""The lab beside the gateway: started with it, replaced when its settings change, and announced on standard error."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from meshgate.lab.banner import banner
from meshgate.lab.workloads import make_lab
from meshgate.routing.table import RoutingTable
from meshgate.settings.schema import LabSettings


class Lab:
    """
    The services of the lab, if the settings ask for any.

    :param reactor: provides IReactorTCP, IReactorTime and IReactorCore.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._services: IService | None = None

    def start(self, settings: LabSettings | None, state_dir: Path) -> None:
        """
        Start the services.

        :param settings: None for no services.
        :param state_dir: the folder to which that of the certificates is relative.
        :raises WorkloadError: if a port cannot be bound.
        :raises CertificatesError: if the certificates cannot be made.
        """
        if settings is not None:
            self._services = make_lab(settings, state_dir / settings.certificates, self._reactor)
            self._services.startService()  # type: ignore[no-untyped-call]

    def stop(self) -> Deferred[None]:
        """Stop the services. The result fires when their ports are free."""
        services, self._services = self._services, None
        return succeed(None) if services is None else maybeDeferred(services.stopService)

    def announce(self, table: RoutingTable, certificates: Path, routes: Iterable[str]) -> None:
        """
        Print the ports and the lines to try on each, as soon as the reactor runs.

        :param certificates: the folder of the certificates.
        :param routes: the files and folders of the routes.
        """
        text = banner(table, _short(certificates), map(_short, routes))
        self._reactor.callWhenRunning(os.write, 2, text.encode())


def _short(path: str | Path) -> str:
    """A path as short as it can be typed in the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
