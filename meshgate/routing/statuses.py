"""
What became of each resource: whether this gateway takes it, whether it has a part in the table, and whether others
stand against it.

Knows the table and the problems; decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from meshgate.resources.destinationrule import DestinationRuleSpec
from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.service import ServiceSpec
from meshgate.resources.serviceentry import ServiceEntrySpec
from meshgate.resources.steps import batches
from meshgate.resources.virtualservice import VirtualServiceSpec
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


def statuses(
    resources: Mapping[ResourceKey, Resource[Any]],
    table: RoutingTable,
    used: Collection[ResourceKey],
    problems: Iterable[Problem],
) -> Generator[None, None, dict[ResourceKey, ResourceStatus]]:
    """
    The status of every Gateway, VirtualService, DestinationRule, ServiceEntry and Service that has been compiled, in
    steps.

    :param used: the Services, ServiceEntries and DestinationRules that routes rest on.
    """
    gateways: set[str] = set()
    virtual_services: set[str] = set()
    for listener in table.listeners.values():
        for chains in batches(listener.in_no_order(), 256):
            gateways.update(chain.gateway for chain in chains)
            virtual_services.update(chain.virtual_service for chain in chains)
            yield
    by_key = yield from _by_resource(problems)
    found: dict[ResourceKey, ResourceStatus] = {}
    for batch in batches(resources.values(), 256):
        for resource in batch:
            if not isinstance(resource.spec, REPORTED):
                continue
            if isinstance(resource.spec, GatewaySpec):
                programmed = resource.qualified_name in gateways
            elif isinstance(resource.spec, VirtualServiceSpec):
                programmed = resource.qualified_name in virtual_services
            else:
                programmed = resource.key in used
            own = by_key.get(resource.key)
            found[resource.key] = _status(programmed, own) if own else FAULTLESS[programmed]
        yield
    return found


def _status(programmed: bool, own: Sequence[Problem]) -> ResourceStatus:
    return ResourceStatus(
        accepted=programmed or not any(problem.code in NOT_TAKEN for problem in own),
        programmed=programmed,
        conflicted=any(problem.code in CONFLICTS for problem in own),
        reasons=_reasons(own),
    )


def refusals(problems: Iterable[Problem]) -> Generator[None, None, dict[ResourceKey, ResourceStatus]]:
    """The status of resources that are not valid, from their problems; valid ones are passed over. In steps."""
    refused: dict[ResourceKey, ResourceStatus] = {}
    for key, own in (yield from _by_resource(problems)).items():
        if any(each.phase is Phase.VALIDATION and each.severity is Severity.ERROR for each in own):
            refused[key] = ResourceStatus(accepted=False, programmed=False, reasons=_reasons(own))
    return refused


def all_statuses(
    compiled: Mapping[ResourceKey, ResourceStatus],
    problems: Iterable[Problem],
    before: Mapping[ResourceKey, ResourceStatus] = MappingProxyType({}),
) -> Generator[None, None, dict[ResourceKey, ResourceStatus]]:
    """
    The statuses of what was compiled and of what is not valid, by kind and name, in steps. One that has a fault and is
    in force all the same, as its last good version or in spite of an unknown field, has the status of what is in force,
    and its fault among the reasons.

    :param before: those of the time before; where most are the same, less is to be sorted.
    """
    refused = yield from refusals(problems)
    order: list[ResourceKey] = []
    for keys in batches(before, 512):
        order += [key for key in keys if key in compiled or key in refused]
        yield
    if len(order) < len(compiled) or refused:
        order += compiled.keys() - before.keys()
        order += refused.keys() - before.keys() - compiled.keys()
        yield
        order.sort()
        yield
    found: dict[ResourceKey, ResourceStatus] = {}
    for keys in batches(order, 512):
        found.update((key, _both(compiled.get(key), refused.get(key))) for key in keys)
        yield
    return found


def _both(compiled: ResourceStatus | None, refused: ResourceStatus | None) -> ResourceStatus:
    """What is in force counts, with what is wrong with its newest version; one of the two is there."""
    if compiled is None or refused is None:
        return compiled or refused or ResourceStatus(accepted=False, programmed=False)
    return replace(compiled, reasons=tuple(dict.fromkeys((*refused.reasons, *compiled.reasons))))


def _by_resource(problems: Iterable[Problem]) -> Generator[None, None, dict[ResourceKey, list[Problem]]]:
    found: dict[ResourceKey, list[Problem]] = defaultdict(list)
    for batch in batches(problems):
        for problem in batch:
            if problem.name:
                found[ResourceKey(problem.kind, problem.namespace, problem.name)].append(problem)
        yield
    return found


def _reasons(problems: Iterable[Problem]) -> tuple[str, ...]:
    chosen = (each for each in problems if each.severity is not Severity.INFO or each.code in NOT_TAKEN)
    return tuple(dict.fromkeys(f"{each.code}: {each.message}" for each in chosen))
