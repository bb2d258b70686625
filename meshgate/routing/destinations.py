"""From a route's destinations, as written, to hosts, ports and endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import Resource
from meshgate.resources.virtualservice import RouteDestination, VirtualServiceSpec
from meshgate.routing.catalog import Catalog
from meshgate.routing.hosts import full_name
from meshgate.routing.table import Destination


class Destinations:
    """
    Makes the destinations of routes, and says once of each what is missing.

    :param catalog: the hosts that exist.
    """

    def __init__(self, catalog: Catalog, domain_suffix: str) -> None:
        self._catalog = catalog
        self._domain_suffix = domain_suffix
        self._said: dict[tuple[object, ...], Problem] = {}

    @property
    def problems(self) -> list[Problem]:
        """What is missing: a host, a port, or every endpoint."""
        return list(self._said.values())

    def of(
        self,
        virtual_service: Resource[VirtualServiceSpec],
        path: str,
        route: Sequence[RouteDestination],
        server_port: int,
    ) -> tuple[Destination, ...]:
        """
        :param path: the rule's path, for problems.
        :param server_port: the server's port, which a destination without a port of its own falls back to.
        """
        return tuple(
            self._one(virtual_service, f"{path}.route[{index}]", target, server_port)
            for index, target in enumerate(route)
        )

    def _one(
        self,
        virtual_service: Resource[VirtualServiceSpec],
        path: str,
        target: RouteDestination,
        server_port: int,
    ) -> Destination:
        written = target.destination
        host = full_name(written.host, virtual_service.namespace, self._domain_suffix)
        found = self._catalog.find(host)
        # pilot/pkg/networking/util, GetDestinationCluster: the port written, else the only one, else the listener's.
        if written.port is not None:
            number = written.port.number
        elif found is not None and len(found.ports) == 1:
            number = next(iter(found.ports))
        elif found is not None:
            number = server_port
        else:
            number = 0
        port = found.ports.get(number) if found is not None else None
        if found is None:
            code, missing = "MG2020", f"the host {host} is unknown"
            hint = "give it a Service or a ServiceEntry, or check the namespace of the short name"
        elif port is None:
            have = ", ".join(map(str, sorted(found.ports))) or "none"
            code, missing = "MG2021", f"{host} has no port {number}; it has {have}"
            hint = "name one of the ports under destination.port.number"
        else:
            code, missing, hint = (
                "MG2022",
                port.missing and f"{host}:{number} has no endpoint: {port.missing}",
                "",
            )
        if missing:
            severity = Severity.WARNING if code == "MG2022" else Severity.ERROR
            key = (virtual_service.key, path, number)
            self._said.setdefault(
                key, virtual_service.problem(severity, code, missing, path=f"{path}.destination", hint=hint)
            )
        return Destination(
            host=host,
            port=number,
            subset=written.subset or "",
            weight=target.weight,
            endpoints=port.endpoints if port is not None else (),
            missing=missing,
        )
