"""
The status of each resource: is it accepted, is it programmed in the routing table, does it conflict with others? And
which VirtualServices have the servers of Gateways taken, on which listeners?

The terms are those of the Kubernetes Gateway API's conditions: Accepted, Programmed, Conflicted, and its
``attachedRoutes``. A status follows from the table and the problems of a compilation, and nothing depends on it.
Statuses of ten thousand resources are not made anew for one change: :class:`Statuses` makes those whose resource,
problems or presence in the table have changed, and :class:`Attachments` keeps what it has found in the chains, and says
what has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from heapq import merge
from typing import Any, Final, NamedTuple

from meshgate.resources.kinds.destinationrule import DestinationRuleSpec
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.serviceentry import ServiceEntrySpec
from meshgate.resources.kinds.virtualservice import VirtualServiceSpec
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.resources.wording import count_of
from meshgate.routing.table import ListenerKey, RoutingTable

NOT_TAKEN: Final = frozenset({"MG2001", "MG2010", "MG2011", "MG2012", "MG2040"})
"""Problems of a Gateway or VirtualService that this gateway does not accept, unless some of it is programmed."""

_NO_RESOURCE: Final = "MG0003"
"""The code of a document that is no resource."""

REPORTED: Final = (GatewaySpec, VirtualServiceSpec, DestinationRuleSpec, ServiceEntrySpec, ServiceSpec)
"""The kinds that can be programmed, and so have a status."""

CONFLICTS: Final = frozenset(
    {"MG2002", "MG2003", "MG2004", "MG2005", "MG2009", "MG2041", "MG2053", "MG2062", "MG2064", "MG2065"}
)
"""Problems with another resource that has, or also claims, what a resource claims."""


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """
    The status of one resource.

    :ivar accepted: True if it is valid, and meant for this gateway.
    :ivar programmed: True if the routing table contains something of it, or rests on it.
    :ivar conflicted: True if another resource conflicts with it, whichever of the two wins.
    :ivar reasons: its errors and warnings, and the infos for which it is not accepted, each with its code.
    """

    accepted: bool
    programmed: bool
    conflicted: bool = False
    reasons: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "accepted": self.accepted,
            "programmed": self.programmed,
            "conflicted": self.conflicted,
            "reasons": list(self.reasons),
        }


FAULTLESS: Final = (ResourceStatus(accepted=True, programmed=False), ResourceStatus(accepted=True, programmed=True))
"""The statuses of a resource without problems: not programmed, and programmed."""


@dataclass(frozen=True, slots=True)
class ProgrammedResources:
    """
    The resources that are programmed in a table.

    :ivar names: Gateways and VirtualServices as ``namespace/name``, by kind. There are thousands, and a text, unlike a
        key, keeps its hash.
    :ivar used: the Services, ServiceEntries and DestinationRules on which routes rest.
    """

    names: Mapping[str, Set[str]] = field(default_factory=dict)
    used: Set[ResourceKey] = frozenset()

    @classmethod
    def of(cls, table: RoutingTable, used: Iterable[ResourceKey]) -> ProgrammedResources:
        """Collect the resources that chains of a table name, and those on which its routes rest."""
        gateways: set[str] = set()
        virtual_services: set[str] = set()
        for listener in table.listeners.values():
            gateways.update(chain.gateway for chain in listener.unordered_chains())
            virtual_services.update(chain.virtual_service for chain in listener.unordered_chains())
        return cls({"Gateway": gateways, "VirtualService": virtual_services}, frozenset(used))

    def includes(self, resource: Resource[Any]) -> bool:
        """True if a resource is programmed."""
        names = self.names.get(resource.kind)
        return resource.key in self.used if names is None else resource.qualified_name in names

    def changed_since(self, other: ProgrammedResources) -> set[ResourceKey]:
        """The resources that only one of the two tables has programmed."""
        changed = set(self.used ^ other.used)
        for kind, names in self.names.items():
            only_one = names ^ other.names.get(kind, frozenset())
            changed.update(ResourceKey(kind, *name.split("/", 1)) for name in only_one if name)
        return changed


class Statuses:
    """
    The status of every Gateway, VirtualService, DestinationRule, ServiceEntry and Service that is compiled, kept from
    change to change.
    """

    def __init__(self) -> None:
        self._found: Mapping[ResourceKey, ResourceStatus] = {}
        self._programmed = ProgrammedResources()
        self._problems: Mapping[ResourceKey, Sequence[Problem]] = {}
        self._touched: dict[ResourceKey, None] = {}

    def touch(self, key: ResourceKey) -> None:
        """Mark the status of a resource as stale: the resource was added, removed or replaced."""
        self._touched[key] = None

    def renew(
        self,
        resources: Mapping[ResourceKey, Resource[Any]],
        table: RoutingTable,
        used: Collection[ResourceKey],
        problems: Iterable[Problem],
    ) -> Mapping[ResourceKey, ResourceStatus]:
        """
        Make the statuses of a new table.

        :param used: the Services, ServiceEntries and DestinationRules on which routes rest.
        :return: the statuses in the order of their keys.
        """
        programmed = ProgrammedResources.of(table, used)
        by_key = _by_resource(problems)
        touched = self._touched.copy()
        touched.update(dict.fromkeys(programmed.changed_since(self._programmed)))
        touched.update(
            (key, None)
            for key in {**self._problems, **by_key}
            if key not in touched and self._problems.get(key) != by_key.get(key)
        )
        found = dict(self._found)
        added: dict[ResourceKey, ResourceStatus] = {}
        for key in touched:
            resource, own = resources.get(key), by_key.get(key)
            if resource is None or not isinstance(resource.spec, REPORTED):
                found.pop(key, None)
            else:
                is_programmed = programmed.includes(resource)
                (found if key in found else added)[key] = (
                    _status(is_programmed, own) if own else FAULTLESS[is_programmed]
                )
        complete = _merged(found, added)
        self._found, self._programmed, self._problems, self._touched = complete, programmed, by_key, {}
        return complete


def _status(programmed: bool, own: Sequence[Problem]) -> ResourceStatus:
    codes = {problem.code for problem in own}
    return ResourceStatus(
        accepted=programmed or codes.isdisjoint(NOT_TAKEN),
        programmed=programmed,
        conflicted=not codes.isdisjoint(CONFLICTS),
        reasons=_reasons(own),
    )


def refusals(problems: Iterable[Problem]) -> dict[ResourceKey, ResourceStatus]:
    """The statuses of invalid resources, from their problems; valid resources get none."""
    refused: dict[ResourceKey, ResourceStatus] = {}
    by_key = _by_resource(problems)
    for key, own in by_key.items():
        if (Phase.VALIDATION, Severity.ERROR) in [(each.phase, each.severity) for each in own]:
            refused[key] = ResourceStatus(accepted=False, programmed=False, reasons=_reasons(own))
    return refused


class ResourceCounts(NamedTuple):
    """
    The number of resources that were read, so that all commands count alike.

    :ivar valid: the valid ones, each kind, namespace and name once.
    :ivar invalid: those that are not valid, without an older valid version in force.
    """

    valid: int = 0
    invalid: int = 0

    @classmethod
    def of(cls, valid: Collection[ResourceKey], problems: Iterable[Problem]) -> ResourceCounts:
        """Count the valid resources, and the invalid ones by their problems; those without a name by their location."""
        invalid: set[tuple[object, ...]] = set()
        for each in problems:
            if (each.phase, each.severity) != (Phase.VALIDATION, Severity.ERROR):
                continue
            key = ResourceKey(each.kind, each.namespace, each.name)
            if each.name and key not in valid:
                invalid.add(key)
            elif not each.name and (each.code == _NO_RESOURCE or each.path in ("metadata", "metadata.name")):
                invalid.add((each.file, each.line, each.column))
        return cls(len(valid), len(invalid))

    def __str__(self) -> str:
        total = count_of(self.valid + self.invalid, "resource")
        if not self.invalid:
            return total
        if not self.valid:
            return f"{total}, {'which is not valid' if self.invalid == 1 else 'none of which is valid'}"
        return f"{total}, {self.invalid} of which {'is' if self.invalid == 1 else 'are'} not valid"


NO_RESOURCES: Final = ResourceCounts()


def all_statuses(
    compiled: Mapping[ResourceKey, ResourceStatus], problems: Iterable[Problem]
) -> Mapping[ResourceKey, ResourceStatus]:
    """
    The statuses of compiled resources and of invalid ones.

    An invalid resource may be in force all the same, as its last good version or in spite of an unknown field. Its
    status is then that of the version in force, with the errors of the newest one among the reasons.

    :param compiled: in the order of their keys.
    :return: likewise.
    """
    refused = refusals(problems)
    faulty = {key: _both(compiled[key], status) for key, status in refused.items() if key in compiled}
    statuses = {**compiled, **faulty} if faulty else compiled
    return _merged(statuses, {key: status for key, status in refused.items() if key not in compiled})


def _merged(
    statuses: Mapping[ResourceKey, ResourceStatus], added: Mapping[ResourceKey, ResourceStatus]
) -> Mapping[ResourceKey, ResourceStatus]:
    """Merge statuses into sorted ones; this sorts only the added ones, not thousands for one."""
    if not added:
        return statuses
    return dict(merge(statuses.items(), sorted(added.items(), key=_key), key=_key))


def _key(item: tuple[ResourceKey, ResourceStatus]) -> ResourceKey:
    return item[0]


def _both(compiled: ResourceStatus, refused: ResourceStatus) -> ResourceStatus:
    """The status of the version in force, with the errors of the newest version as further reasons."""
    return replace(compiled, reasons=tuple(dict.fromkeys((*refused.reasons, *compiled.reasons))))


def _by_resource(problems: Iterable[Problem]) -> dict[ResourceKey, list[Problem]]:
    found: dict[ResourceKey, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.name:
            found[ResourceKey(problem.kind, problem.namespace, problem.name)].append(problem)
    return found


def _reasons(problems: Iterable[Problem]) -> tuple[str, ...]:
    chosen = [each for each in problems if each.severity is not Severity.INFO or each.code in NOT_TAKEN]
    return tuple(dict.fromkeys([f"{each.code}: {each.message}" for each in chosen]))


class ServerAttachments(NamedTuple):
    """
    The attachments of one server of a Gateway.

    :ivar server: the name of its port, which no other server of the Gateway has.
    :ivar listeners: those that have chains of the server, in order.
    :ivar routes: the number of VirtualServices that it has taken.
    :ivar refusal: why connections are closed instead of routed; empty if some of them are routed.
    """

    server: str
    listeners: tuple[ListenerKey, ...]
    routes: int
    refusal: str = ""


class GatewayAttachment(NamedTuple):
    """
    The attachment of a VirtualService to one Gateway.

    :ivar gateway: as ``namespace/name``.
    :ivar listeners: those that have chains of both, in order.
    """

    gateway: str
    listeners: tuple[ListenerKey, ...]


class Attachments:
    """
    The attachments in a table, by the names of the resources, as ``namespace/name``, kept from table to table.

    :ivar gateways: of each Gateway, by the names of its servers' ports.
    :ivar virtual_services: of each VirtualService, by the names of its Gateways.
    """

    def __init__(self) -> None:
        self.gateways: dict[str, tuple[ServerAttachments, ...]] = {}
        self.virtual_services: dict[str, tuple[GatewayAttachment, ...]] = {}
        self._found: set[_Attachment] = set()
        self._of_gateways: dict[str, set[_Attachment]] = defaultdict(set)
        self._of_virtual_services: dict[str, set[_Attachment]] = defaultdict(set)

    def update(self, table: RoutingTable) -> tuple[set[str], set[str]]:
        """
        Take the attachments of another table.

        :return: the Gateways and the VirtualServices whose attachments have changed.
        """
        found = {
            (chain.gateway, chain.virtual_service, chain.server, key, chain.refusal)
            for key, listener in table.listeners.items()
            for chain in listener.unordered_chains()
        }
        removed, added = self._found - found, found - self._found
        self._found = found
        for each in removed:
            self._of_gateways[each[0]].discard(each)
            self._of_virtual_services[each[1]].discard(each)
        for each in added:
            self._of_gateways[each[0]].add(each)
            self._of_virtual_services[each[1]].add(each)
        gateways = {each[0] for each in (*removed, *added)}
        virtual_services = {each[1] for each in (*removed, *added) if each[1]}
        for name in gateways:
            if of_gateway := self._of_gateways[name]:
                self.gateways[name] = tuple(_servers(of_gateway))
            else:
                self.gateways.pop(name, None)
        for name in virtual_services:
            if of_service := self._of_virtual_services[name]:
                self.virtual_services[name] = tuple(_gateways(of_service))
            else:
                self.virtual_services.pop(name, None)
        return gateways, virtual_services


_Attachment = tuple[str, str, str, ListenerKey, str]
"""Gateway, VirtualService, server, listener, and refusal of a chain."""


def _servers(attachments: Iterable[_Attachment]) -> Iterator[ServerAttachments]:
    by_server: dict[str, list[_Attachment]] = defaultdict(list)
    for each in attachments:
        by_server[each[2]].append(each)
    for server, own in sorted(by_server.items()):
        refusals = {each[4] for each in own}
        refusal = "" if "" in refusals else "; ".join(sorted(refusals))
        routes = {each[1] for each in own if each[1]}
        yield ServerAttachments(server, tuple(sorted({each[3] for each in own})), len(routes), refusal)


def _gateways(attachments: Iterable[_Attachment]) -> Iterator[GatewayAttachment]:
    by_gateway: dict[str, set[ListenerKey]] = defaultdict(set)
    for each in attachments:
        by_gateway[each[0]].add(each[3])
    for gateway, listeners in sorted(by_gateway.items()):
        yield GatewayAttachment(gateway, tuple(sorted(listeners)))
