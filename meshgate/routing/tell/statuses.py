"""
What became of each resource: whether this gateway takes it, whether it has a part in the table, and whether others
stand against it.

Knows the table and the problems; decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from heapq import merge
from typing import Any, Final

from meshgate.resources.kinds.destinationrule import DestinationRuleSpec
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.serviceentry import ServiceEntrySpec
from meshgate.resources.kinds.virtualservice import VirtualServiceSpec
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.table import RoutingTable

NOT_TAKEN: Final = frozenset({"MG2001", "MG2010", "MG2011", "MG2012", "MG2040"})
"""Problems for which this gateway leaves a Gateway or VirtualService aside, unless a part of it is in the table."""

REPORTED: Final = (GatewaySpec, VirtualServiceSpec, DestinationRuleSpec, ServiceEntrySpec, ServiceSpec)
"""The kinds of which it can be said that a part is in the table."""

CONFLICTS: Final = frozenset(
    {"MG2002", "MG2003", "MG2004", "MG2005", "MG2009", "MG2041", "MG2053", "MG2062", "MG2064", "MG2065"}
)
"""Problems that name another resource which has, or also wants, what this one asks for."""


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """
    What became of one resource.

    :ivar accepted: it is valid, and for this gateway.
    :ivar programmed: a part of it is in the routing table.
    :ivar conflicted: another resource stands against it, whoever wins.
    :ivar reasons: its problems that are more than an info, and whatever keeps it aside; each with its code.
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
"""The status of a resource without problems, as it has no part in the table, or has one."""


@dataclass(frozen=True, slots=True)
class ProgrammedResources:
    """
    What has a part in a table.

    :ivar names: Gateways and VirtualServices as ``namespace/name``, by their kind: there are thousands, and a text
        knows its hash.
    :ivar used: the Services, ServiceEntries and DestinationRules.
    """

    names: Mapping[str, Set[str]] = field(default_factory=dict)
    used: Set[ResourceKey] = frozenset()

    @classmethod
    def of(cls, table: RoutingTable, used: Iterable[ResourceKey]) -> ProgrammedResources:
        """The resources that have a part in a table, and those that its routes rest on."""
        gateways: set[str] = set()
        virtual_services: set[str] = set()
        for listener in table.listeners.values():
            gateways.update(chain.gateway for chain in listener.unordered_chains())
            virtual_services.update(chain.virtual_service for chain in listener.unordered_chains())
        return cls({"Gateway": gateways, "VirtualService": virtual_services}, frozenset(used))

    def includes(self, resource: Resource[Any]) -> bool:
        """Whether a resource is among them."""
        names = self.names.get(resource.kind)
        return resource.key in self.used if names is None else resource.qualified_name in names

    def changed_since(self, other: ProgrammedResources) -> set[ResourceKey]:
        """The resources that are among one of two only."""
        changed = set(self.used ^ other.used)
        for kind, names in self.names.items():
            only_one = names ^ other.names.get(kind, frozenset())
            changed.update(ResourceKey(kind, *name.split("/", 1)) for name in only_one if name)
        return changed


class Statuses:
    """
    The status of every Gateway, VirtualService, DestinationRule, ServiceEntry and Service that is compiled, of one set
    of resources after the other: only those that may be others than before are made anew.
    """

    def __init__(self) -> None:
        self._found: Mapping[ResourceKey, ResourceStatus] = {}
        self._programmed = ProgrammedResources()
        self._problems: Mapping[ResourceKey, Sequence[Problem]] = {}
        self._touched: dict[ResourceKey, None] = {}

    def touch(self, key: ResourceKey) -> None:
        """A resource came, or went, or is another one."""
        self._touched[key] = None

    def renew(
        self,
        resources: Mapping[ResourceKey, Resource[Any]],
        table: RoutingTable,
        used: Collection[ResourceKey],
        problems: Iterable[Problem],
    ) -> Mapping[ResourceKey, ResourceStatus]:
        """
        The statuses by kind and name, in their order.

        :param used: the Services, ServiceEntries and DestinationRules that routes rest on.
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
        come: dict[ResourceKey, ResourceStatus] = {}
        for key in touched:
            resource, own = resources.get(key), by_key.get(key)
            if resource is None or not isinstance(resource.spec, REPORTED):
                found.pop(key, None)
            else:
                part = programmed.includes(resource)
                (found if key in found else come)[key] = _status(part, own) if own else FAULTLESS[part]
        complete = _with(found, come)
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
    """The status of resources that are not valid, from their problems; valid ones are passed over."""
    refused: dict[ResourceKey, ResourceStatus] = {}
    by_key = _by_resource(problems)
    for key, own in by_key.items():
        if (Phase.VALIDATION, Severity.ERROR) in [(each.phase, each.severity) for each in own]:
            refused[key] = ResourceStatus(accepted=False, programmed=False, reasons=_reasons(own))
    return refused


def all_statuses(
    compiled: Mapping[ResourceKey, ResourceStatus], problems: Iterable[Problem]
) -> Mapping[ResourceKey, ResourceStatus]:
    """
    The statuses of what was compiled and of what is not valid, by kind and name. One that has a fault and is
    in force all the same, as its last good version or in spite of an unknown field, has the status of what is in force,
    and its fault among the reasons.

    :param compiled: in the order of their keys.
    """
    refused = refusals(problems)
    faulty = {key: _both(compiled[key], status) for key, status in refused.items() if key in compiled}
    known = {**compiled, **faulty} if faulty else compiled
    return _with(known, {key: status for key, status in refused.items() if key not in compiled})


def _with(
    known: Mapping[ResourceKey, ResourceStatus], come: Mapping[ResourceKey, ResourceStatus]
) -> Mapping[ResourceKey, ResourceStatus]:
    """Statuses in order, and others that are put where they belong; thousands are not sorted for one."""
    if not come:
        return known
    return dict(merge(known.items(), sorted(come.items(), key=_key), key=_key))


def _key(item: tuple[ResourceKey, ResourceStatus]) -> ResourceKey:
    return item[0]


def _both(compiled: ResourceStatus, refused: ResourceStatus) -> ResourceStatus:
    """What is in force counts, with what is wrong with its newest version."""
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
