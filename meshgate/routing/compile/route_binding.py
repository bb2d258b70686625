"""Which VirtualServices a Gateway gets, in which order, and which of them meet a server's hosts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from meshgate.resources.kinds.export_to import EVERYBODY, OWN_NAMESPACE
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.virtualservice import VirtualService, VirtualServiceSpec
from meshgate.resources.names import dns_label
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.compile.servers import Proxy
from meshgate.routing.hosts import MESH, gateway_reference

Order = tuple[Any, ...]


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
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._bindings: dict[ResourceKey, Binding] = {}
        self._named: dict[str, dict[ResourceKey, VirtualService]] = {}
        self._hidden: dict[ResourceKey, Problem] = {}
        # In their order, with what they are ordered by: to sort thousands anew for one would hold everybody up.
        self._in_order: dict[str, tuple[list[Order], list[VirtualService]]] = {}

    @property
    def problems(self) -> Collection[Problem]:
        """What is said of VirtualServices that this gateway may not see."""
        return self._hidden.values()

    def add(self, virtual_service: VirtualService) -> Binding:
        """Take a VirtualService in."""
        binding = _binding(virtual_service, self._proxy.namespace)
        self._bindings[virtual_service.key] = binding
        if binding.group is None:
            self._hidden[virtual_service.key] = _not_exported(virtual_service, self._proxy)
        for gateway in binding.gateways:
            self._named.setdefault(gateway, {})[virtual_service.key] = virtual_service
            if binding.group is not None and gateway in self._in_order:
                orders, found = self._in_order[gateway]
                order = _order(binding.group, virtual_service)
                place = bisect_right(orders, order)
                orders.insert(place, order)
                found.insert(place, virtual_service)
        return binding

    def remove(self, virtual_service: VirtualService) -> Binding:
        """Forget a VirtualService."""
        binding = self._bindings.pop(virtual_service.key)
        self._hidden.pop(virtual_service.key, None)
        for gateway in binding.gateways:
            named = self._named[gateway]
            del named[virtual_service.key]
            if not named:
                del self._named[gateway]
                self._in_order.pop(gateway, None)
            elif binding.group is not None and gateway in self._in_order:
                orders, found = self._in_order[gateway]
                place = bisect_left(orders, _order(binding.group, virtual_service))
                while found[place].key != virtual_service.key:
                    place += 1
                del orders[place], found[place]
        return binding

    def naming(self, gateway: str) -> Collection[VirtualService]:
        """
        Those that name a Gateway, in no order, whether or not this gateway may see them.

        :param gateway: ``namespace/name``.
        """
        return self._named.get(gateway, {}).values()

    def of(self, gateway: str) -> tuple[VirtualService, ...]:
        """Those that name a Gateway and that this gateway may see, in their order."""
        if gateway not in self._named:
            return ()
        if gateway not in self._in_order:
            groups = ((self._bindings[each.key].group, each) for each in self._named[gateway].values())
            found = sorted(((_order(group, each), each) for group, each in groups if group is not None), key=_first)
            self._in_order[gateway] = [order for order, _ in found], [each for _, each in found]
        return tuple(self._in_order[gateway][1])

    def unbound(
        self, gateways: Mapping[str, Resource[Any]], refused: Collection[Resource[Any]] = ()
    ) -> Iterator[Problem]:
        """
        The problems of VirtualServices that name a Gateway which does not exist.

        :param gateways: all Gateways of the configuration, taken by this gateway or not, by ``namespace/name``.
        :param refused: what is not valid: other Gateways, and VirtualServices that may name what is not there, too.
        """
        faulty = {each.qualified_name: each for each in refused if isinstance(each.spec, GatewaySpec)}
        naming: dict[str, list[VirtualService]] = defaultdict(list)
        for virtual_service in (each for each in refused if isinstance(each.spec, VirtualServiceSpec)):
            for name in gateways_of(virtual_service):
                # That it is no name at all is said where the VirtualService is read.
                if name not in faulty and not any(map(dns_label, name.split("/"))):
                    naming[name].append(virtual_service)
        missing = {name for name in chain(self._named, naming) if name not in gateways}
        if not missing:
            return
        known = sorted(gateways)
        by_name: dict[str, list[str]] = defaultdict(list)
        for each in known:
            by_name[each.partition("/")[2]].append(each)
        for name in sorted(missing):
            hint = _near(by_name.get(name.partition("/")[2], []), known)
            for virtual_service in (*self.of(name), *naming[name]):
                if name in faulty:
                    yield _takes_nothing(virtual_service, faulty[name])
                else:
                    yield _unknown(virtual_service, name, hint)


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


def _binding(virtual_service: VirtualService, namespace: str) -> Binding:
    return Binding(_export_group(virtual_service, namespace), tuple(gateways_of(virtual_service)))


_first: Callable[[tuple[Order, VirtualService]], Order] = itemgetter(0)


def _order(group: int, virtual_service: VirtualService) -> Order:
    return (group, *virtual_service.order())


def _export_group(virtual_service: VirtualService, namespace: str) -> int | None:
    targets = virtual_service.spec.export_to
    if EVERYBODY in targets:
        return 2
    if virtual_service.namespace == namespace and (OWN_NAMESPACE in targets or namespace in targets):
        return 0
    return 1 if namespace in targets else None


def _unknown(virtual_service: VirtualService, gateway: str, hint: str) -> Problem:
    message, path = f"the Gateway {gateway} does not exist", gateway_path(virtual_service, gateway)
    return virtual_service.problem(Severity.ERROR, "MG2010", message, path=path, hint=hint)


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
        f"the Gateway {gateway.qualified_name} ({gateway.location()}) is not valid, and so takes no rule",
        path=gateway_path(virtual_service, gateway.qualified_name),
        hint="its own problems say what is wrong with it",
    )


def _near(same: Sequence[str], known: Sequence[str]) -> str:
    """
    A hint for the name of a Gateway that is not there.

    :param same: the Gateways with that name in other namespaces.
    :param known: all Gateways, in their alphabet.
    """
    if same:
        return f"there is {', '.join(same)}: write the namespace, as in {same[0]!r}"
    return f"known are {', '.join(known[:5])}" if known else "there is no Gateway at all"
