"""Which VirtualServices a Gateway gets, in which order, and which of them meet a server's hosts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.names import dns_label
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import Resource
from meshgate.resources.virtualservice import VirtualServiceSpec
from meshgate.routing.hosts import MESH, HostIndex, gateway_reference
from meshgate.routing.servers import BoundServer, Proxy

VirtualService = Resource[VirtualServiceSpec]


class Bindings:
    """
    The VirtualServices by the Gateway they name.

    The order within a Gateway is Istio's (pilot/pkg/model/push_context.go, VirtualServicesForGateway): those private
    to the gateway's namespace, then those exported to it by name, then the public ones, each by age.

    :param virtual_services: in any order.
    """

    def __init__(self, virtual_services: Iterable[VirtualService], proxy: Proxy) -> None:
        self.problems: list[Problem] = []
        groups: tuple[dict[str, list[VirtualService]], ...] = (
            defaultdict(list),
            defaultdict(list),
            defaultdict(list),
        )
        self._named: dict[str, list[VirtualService]] = defaultdict(list)
        for virtual_service in sorted(virtual_services, key=Resource.order):
            group = _export_group(virtual_service, proxy.namespace)
            if group is None:
                self.problems.append(_not_exported(virtual_service, proxy))
                continue
            for gateway in gateways_of(virtual_service):
                groups[group][gateway].append(virtual_service)
                self._named[gateway].append(virtual_service)
        self._groups = groups

    def of(self, gateway: str) -> list[VirtualService]:
        """:param gateway: ``namespace/name``."""
        return [found for group in self._groups for found in group.get(gateway, ())]

    def meeting(self, server: BoundServer) -> Iterator[VirtualService]:
        """The VirtualServices of the server's Gateway with a host in common with the server."""
        hosts = HostIndex(server.hosts)
        for virtual_service in self.of(server.gateway.qualified_name):
            if any(hosts.meets(host, virtual_service.namespace) for host in virtual_service.spec.hosts):
                yield virtual_service

    def unbound(self, gateways: Sequence[Resource[Any]], refused: Sequence[Resource[Any]] = ()) -> Iterator[Problem]:
        """
        What is said of VirtualServices that name a Gateway which is not there.

        :param gateways: all Gateways of the configuration, taken by this gateway or not.
        :param refused: what is not valid: other Gateways, and VirtualServices that may name what is not there, too.
        """
        known = {gateway.qualified_name for gateway in gateways}
        faulty = {each.qualified_name: each for each in refused if isinstance(each.spec, GatewaySpec)}
        for virtual_service in (each for each in refused if isinstance(each.spec, VirtualServiceSpec)):
            for name in gateways_of(virtual_service):
                # That it is no name at all is said where the VirtualService is read.
                if name not in faulty and not any(map(dns_label, name.split("/"))):
                    self._named[name].append(virtual_service)
        for name in sorted(set(self._named) - known):
            for virtual_service in self._named[name]:
                if name in faulty:
                    yield _takes_nothing(virtual_service, faulty[name])
                    continue
                yield virtual_service.problem(
                    Severity.ERROR,
                    "MG2010",
                    f"the Gateway {name} does not exist",
                    path=gateway_path(virtual_service, name),
                    hint=_near(name, known),
                )


def in_mesh(virtual_service: VirtualService) -> bool:
    """Whether its rules are for sidecars, which they are where it names no Gateway."""
    return not virtual_service.spec.gateways or MESH in virtual_service.spec.gateways


def gateways_of(virtual_service: VirtualService) -> list[str]:
    """The Gateways that a VirtualService names, each once, as ``namespace/name``; ``mesh`` left out."""
    names = (gateway_reference(name, virtual_service.namespace) for name in virtual_service.spec.gateways)
    return [name for name in dict.fromkeys(names) if name != MESH]


def gateway_path(virtual_service: VirtualService, gateway: str) -> str:
    """
    The path of the entry that names a Gateway.

    :param gateway: as :func:`gateways_of` gives it.
    """
    names = [gateway_reference(name, virtual_service.namespace) for name in virtual_service.spec.gateways]
    return f"spec.gateways[{names.index(gateway)}]"


def _export_group(virtual_service: VirtualService, namespace: str) -> int | None:
    targets = virtual_service.spec.export_to
    if not targets or "*" in targets:
        return 2
    if virtual_service.namespace == namespace and ("." in targets or namespace in targets):
        return 0
    return 1 if namespace in targets else None


def _not_exported(virtual_service: VirtualService, proxy: Proxy) -> Problem:
    return virtual_service.problem(
        Severity.WARNING,
        "MG2011",
        f"not visible to this gateway: it is exported to {', '.join(virtual_service.spec.export_to)} only, "
        f"and the gateway is in {proxy.namespace}",
        path="spec.exportTo",
        hint=f'add {proxy.namespace!r} or "*" to exportTo',
    )


def _takes_nothing(virtual_service: VirtualService, gateway: Resource[Any]) -> Problem:
    return virtual_service.problem(
        Severity.WARNING,
        "MG2012",
        f"the Gateway {gateway.qualified_name} ({gateway.place()}) is not valid, and so takes no rule",
        path=gateway_path(virtual_service, gateway.qualified_name),
        hint="its own problems say what is wrong with it",
    )


def _near(name: str, known: Iterable[str]) -> str:
    short = name.partition("/")[2]
    same = sorted(other for other in known if other.partition("/")[2] == short)
    if same:
        return f"there is {', '.join(same)}: write the namespace, as in {same[0]!r}"
    return f"known are {', '.join(sorted(known)[:5])}" if known else "there is no Gateway at all"
