"""The binding of VirtualServices to the Gateways that they name, and their order within a Gateway."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.shared_fields import EVERYBODY, OWN_NAMESPACE
from meshgate.resources.kinds.virtualservice import VirtualService, VirtualServiceSpec
from meshgate.resources.names import dns_label
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.selection import scopes
from meshgate.routing.hosts import MESH, gateway_reference


class Bindings:
    """
    All VirtualServices, by the Gateways that they name.

    The order within a Gateway is Istio's (pilot/pkg/model/push_context.go, VirtualServicesForGateway): those private
    to the gateway's namespace, then those exported to it by name, then the public ones, each by age.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        # The Gateways that each VirtualService names, and the rank of its exportTo, if it is exported to this gateway.
        self._gateways: dict[ResourceKey, tuple[str, ...]] = {}
        self._ranks: dict[ResourceKey, int] = {}
        self._named: dict[str, dict[ResourceKey, VirtualService]] = {}
        self._hidden: dict[ResourceKey, Problem] = {}
        # The VirtualServices of each Gateway, sorted; one more of thousands is inserted where it belongs.
        self._in_order: dict[str, tuple[VirtualService, ...]] = {}

    def hidden(self, is_ours: Callable[[str], bool]) -> Iterator[Problem]:
        """
        The problems of VirtualServices that are not exported to this gateway, although they name a Gateway of it.

        :param is_ours: tells if a Gateway, by ``namespace/name``, is for this gateway.
        """
        for key, problem in self._hidden.items():
            if any(map(is_ours, self._gateways[key])):
                yield problem

    def add(self, virtual_service: VirtualService) -> tuple[str, ...]:
        """Add a VirtualService, and return the Gateways that it names, as ``namespace/name``."""
        key, rank = virtual_service.key, _export_rank(virtual_service, self._proxy.namespace)
        gateways = self._gateways[key] = tuple(gateways_of(virtual_service))
        if rank is None:
            self._hidden[key] = _not_exported(virtual_service, self._proxy)
        else:
            self._ranks[key] = rank
        for gateway in gateways:
            self._named.setdefault(gateway, {})[key] = virtual_service
            if rank is not None and gateway in self._in_order:
                found = self._in_order[gateway]
                index = bisect_right(found, self._sort_key(virtual_service), key=self._sort_key)
                self._in_order[gateway] = (*found[:index], virtual_service, *found[index:])
        return gateways

    def remove(self, virtual_service: VirtualService) -> tuple[str, ...]:
        """Remove a VirtualService, and return the Gateways that it names, as ``namespace/name``."""
        key = virtual_service.key
        gateways = self._gateways.pop(key)
        self._hidden.pop(key, None)
        for gateway in gateways:
            named = self._named[gateway]
            del named[key]
            if not named:
                del self._named[gateway]
                self._in_order.pop(gateway, None)
            elif key in self._ranks and gateway in self._in_order:
                found = self._in_order[gateway]
                index = bisect_left(found, self._sort_key(virtual_service), key=self._sort_key)
                while found[index].key != key:
                    index += 1
                self._in_order[gateway] = found[:index] + found[index + 1 :]
        self._ranks.pop(key, None)
        return gateways

    def naming(self, gateway: str) -> Collection[VirtualService]:
        """
        The VirtualServices that name a Gateway, in no order, exported to this gateway or not.

        :param gateway: ``namespace/name``.
        """
        return self._named.get(gateway, {}).values()

    def named(self) -> Iterable[str]:
        """The Gateways that VirtualServices name, as ``namespace/name``."""
        return self._named.keys()

    def bound_to(self, gateway: str) -> tuple[VirtualService, ...]:
        """
        The VirtualServices that name a Gateway and are exported to this gateway, in their order.

        :param gateway: ``namespace/name``.
        """
        if gateway not in self._named:
            return ()
        if gateway not in self._in_order:
            named = self._named[gateway].values()
            exported = [each for each in named if each.key in self._ranks]
            self._in_order[gateway] = tuple(sorted(exported, key=self._sort_key))
        return self._in_order[gateway]

    def _sort_key(self, virtual_service: VirtualService) -> tuple[Any, ...]:
        """The sort key of a VirtualService that is exported to this gateway."""
        return (self._ranks[virtual_service.key], *virtual_service.order())

    def export_ranks(self, gateway: str) -> tuple[int, ...]:
        """
        The ranks of the VirtualServices of :meth:`bound_to` by their exportTo, in the same order.

        :param gateway: ``namespace/name``.
        """
        return tuple(self._ranks[each.key] for each in self.bound_to(gateway))

    def unbound(
        self, gateways: Mapping[str, Resource[Any]], refused: Collection[Resource[Any]] = ()
    ) -> Iterator[Problem]:
        """
        The problems of VirtualServices that name a Gateway which does not exist, or is invalid.

        :param gateways: all valid Gateways by ``namespace/name``, whether or not they select this gateway.
        :param refused: all invalid resources; VirtualServices among them are checked, too.
        """
        faulty = {each.qualified_name: each for each in refused if isinstance(each.spec, GatewaySpec)}
        naming: dict[str, list[VirtualService]] = defaultdict(list)
        for virtual_service in (each for each in refused if isinstance(each.spec, VirtualServiceSpec)):
            for name in gateways_of(virtual_service):
                # A malformed name is reported by validation.
                if name not in faulty and not any(map(dns_label, name.split("/"))):
                    naming[name].append(virtual_service)
        missing = {name for name in chain(self._named, naming) if name not in gateways}
        if not missing:
            return
        existing = sorted(gateways)
        by_name: dict[str, list[str]] = defaultdict(list)
        for each in existing:
            by_name[each.partition("/")[2]].append(each)
        for name in sorted(missing):
            hint = _unknown_gateway_hint(by_name.get(name.partition("/")[2], []), existing)
            for virtual_service in (*self.bound_to(name), *naming[name]):
                if name in faulty:
                    yield _invalid_gateway(virtual_service, faulty[name])
                else:
                    yield _unknown_gateway(virtual_service, name, hint)


def in_mesh(virtual_service: VirtualService) -> bool:
    """True if the rules are for sidecars: the VirtualService names ``mesh``, or no Gateway at all."""
    return not virtual_service.spec.gateways or MESH in virtual_service.spec.gateways


def gateways_of(virtual_service: VirtualService) -> list[str]:
    """The Gateways that a VirtualService names, each once, as ``namespace/name``; without ``mesh``."""
    return [name for name in users_of(virtual_service) if name != MESH]


def users_of(virtual_service: VirtualService) -> tuple[str, ...]:
    """Those that apply a VirtualService, each once: Gateways as ``namespace/name``, and ``mesh`` for sidecars."""
    names = virtual_service.spec.gateways or (MESH,)
    return tuple(dict.fromkeys(gateway_reference(name, virtual_service.namespace) for name in names))


def users_of_rule(
    virtual_service: VirtualService, users: tuple[str, ...], named: Sequence[Sequence[str]]
) -> tuple[str, ...]:
    """
    Those that apply one rule of a VirtualService.

    :param users: as :func:`users_of` gives them.
    :param named: the Gateways that each match block of the rule names; none for a block that is for all.
    """
    if not named or not all(named):
        return users
    wanted = {gateway_reference(name, virtual_service.namespace) for names in named for name in names}
    return tuple(name for name in users if name in wanted)


def gateway_path(virtual_service: VirtualService, gateway: str) -> str:
    """
    The path of the entry of ``spec.gateways`` that names a Gateway.

    :param gateway: as :func:`gateways_of` gives it.
    """
    names = [gateway_reference(name, virtual_service.namespace) for name in virtual_service.spec.gateways]
    return f"spec.gateways[{names.index(gateway)}]"


def _export_rank(virtual_service: VirtualService, namespace: str) -> int | None:
    """The rank of a VirtualService by its exportTo; None if it is not exported to a namespace."""
    targets = virtual_service.spec.export_to
    if EVERYBODY in targets:
        return 2
    if virtual_service.namespace == namespace and (OWN_NAMESPACE in targets or namespace in targets):
        return 0
    return 1 if namespace in targets else None


def _unknown_gateway(virtual_service: VirtualService, gateway: str, hint: str) -> Problem:
    message, path = f"the Gateway {gateway} does not exist", gateway_path(virtual_service, gateway)
    return virtual_service.problem(Severity.ERROR, "MG2010", message, path=path, hint=hint)


def _not_exported(virtual_service: VirtualService, proxy: Proxy) -> Problem:
    return virtual_service.problem(
        Severity.WARNING,
        "MG2011",
        f"not visible to this gateway: it is exported to {', '.join(sorted(scopes(virtual_service)))} only, "
        f"and the gateway is in {proxy.namespace}",
        path="spec.exportTo",
        hint=f'add "{proxy.namespace}" or "*" to exportTo',
    )


def _invalid_gateway(virtual_service: VirtualService, gateway: Resource[Any]) -> Problem:
    return virtual_service.problem(
        Severity.WARNING,
        "MG2012",
        f"the Gateway {gateway.qualified_name} ({gateway.location()}) is not valid, so it takes no rules",
        path=gateway_path(virtual_service, gateway.qualified_name),
        hint="the problems of the Gateway say why",
    )


def _unknown_gateway_hint(same_name: Sequence[str], existing: Sequence[str]) -> str:
    """
    The hint for a Gateway that does not exist.

    :param same_name: the Gateways with its name in other namespaces.
    :param existing: all Gateways, sorted.
    """
    if same_name:
        return f"there is {', '.join(same_name)}: write the namespace, as in {same_name[0]!r}"
    return f"there is {', '.join(existing[:5])}" if existing else "there is no Gateway at all"
