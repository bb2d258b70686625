"""Which VirtualServices a Gateway gets, in which order, and which of them meet a server's hosts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import Resource
from meshgate.resources.steps import batches
from meshgate.resources.virtualservice import VirtualServiceSpec
from meshgate.routing.hosts import MESH, gateway_reference
from meshgate.routing.servers import Proxy

VirtualService = Resource[VirtualServiceSpec]


class Binding(NamedTuple):
    """
    Where a VirtualService belongs.

    :ivar group: its place among those of one Gateway, by whom it is exported to; None where not to this gateway.
    :ivar gateways: the Gateways that it names, as ``namespace/name``.
    """

    group: int | None
    gateways: tuple[str, ...]


class Bindings:
    """
    The VirtualServices by the Gateway they name.

    The order within a Gateway is Istio's (pilot/pkg/model/push_context.go, VirtualServicesForGateway): those private
    to the gateway's namespace, then those exported to it by name, then the public ones, each by age.

    :param binding: gives the :class:`Binding` of a VirtualService.
    """

    def __init__(self, binding: Callable[[VirtualService], Binding], proxy: Proxy) -> None:
        self.problems: list[Problem] = []
        self._binding = binding
        self._proxy = proxy
        self._groups: tuple[dict[str, list[VirtualService]], ...] = (
            defaultdict(list),
            defaultdict(list),
            defaultdict(list),
        )
        self._named: dict[str, list[VirtualService]] = defaultdict(list)

    def take(self, virtual_services: Iterable[VirtualService]) -> Iterator[None]:
        """
        Take all VirtualServices, in steps.

        :param virtual_services: in their order.
        """
        for batch in batches(virtual_services):
            for virtual_service in batch:
                group, gateways = self._binding(virtual_service)
                if group is None:
                    self.problems.append(_not_exported(virtual_service, self._proxy))
                    continue
                for gateway in gateways:
                    self._groups[group][gateway].append(virtual_service)
                    self._named[gateway].append(virtual_service)
            yield

    def of(self, gateway: str) -> list[VirtualService]:
        """:param gateway: ``namespace/name``."""
        return [found for group in self._groups for found in group.get(gateway, ())]

    def unbound(self, gateways: Sequence[Resource[Any]]) -> Iterator[Problem]:
        """
        What is said of VirtualServices that name a Gateway which is not there.

        :param gateways: all Gateways of the configuration, taken by this gateway or not.
        """
        known = {gateway.qualified_name for gateway in gateways}
        for name in sorted(set(self._named) - known):
            for virtual_service in self._named[name]:
                yield virtual_service.problem(
                    Severity.ERROR,
                    "MG2010",
                    f"the Gateway {name} does not exist",
                    path="spec.gateways",
                    hint=_near(name, known),
                )


def in_mesh(virtual_service: VirtualService) -> bool:
    """Whether its rules are for sidecars, which they are where it names no Gateway."""
    return not virtual_service.spec.gateways or MESH in virtual_service.spec.gateways


def gateways_of(virtual_service: VirtualService) -> list[str]:
    """The Gateways that a VirtualService names, each once, as ``namespace/name``; ``mesh`` left out."""
    names = (gateway_reference(name, virtual_service.namespace) for name in virtual_service.spec.gateways)
    return [name for name in dict.fromkeys(names) if name != MESH]


def binding_of(virtual_service: VirtualService, namespace: str) -> Binding:
    """
    Where a VirtualService belongs.

    :param namespace: that of the gateway.
    """
    return Binding(_export_group(virtual_service, namespace), tuple(gateways_of(virtual_service)))


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


def _near(name: str, known: Iterable[str]) -> str:
    short = name.partition("/")[2]
    same = sorted(other for other in known if other.partition("/")[2] == short)
    if same:
        return f"there is {', '.join(same)}: write the namespace, as in {same[0]!r}"
    have = f"known are {', '.join(sorted(known)[:5])}" if known else "there is no Gateway at all"
    return f"{have}; one that is not valid counts as none"
