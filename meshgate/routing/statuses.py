"""
What became of each resource: whether this gateway takes it, whether it has a part in the table, and whether others
stand against it.

Knows the table and the problems; decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from meshgate.resources.destinationrule import DestinationRuleSpec
from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.service import ServiceSpec
from meshgate.resources.serviceentry import ServiceEntrySpec
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


def statuses(
    resources: Iterable[Resource[Any]],
    table: RoutingTable,
    used: Collection[ResourceKey],
    problems: Iterable[Problem],
) -> dict[ResourceKey, ResourceStatus]:
    """
    The status of every Gateway, VirtualService, DestinationRule, ServiceEntry and Service that has been compiled.

    :param used: the Services, ServiceEntries and DestinationRules that routes rest on.
    """
    chains = [chain for listener in table.listeners.values() for chain in listener.chains()]
    gateways = {chain.gateway for chain in chains}
    virtual_services = {chain.virtual_service for chain in chains}
    by_key = _by_resource(problems)
    found = {}
    for resource in resources:
        if not isinstance(resource.spec, REPORTED):
            continue
        own = by_key.get(resource.key, ())
        if isinstance(resource.spec, GatewaySpec):
            programmed = resource.qualified_name in gateways
        elif isinstance(resource.spec, VirtualServiceSpec):
            programmed = resource.qualified_name in virtual_services
        else:
            programmed = resource.key in used
        found[resource.key] = ResourceStatus(
            accepted=programmed or not any(problem.code in NOT_TAKEN for problem in own),
            programmed=programmed,
            conflicted=any(problem.code in CONFLICTS for problem in own),
            reasons=_reasons(own),
        )
    return found


def refusals(problems: Iterable[Problem]) -> dict[ResourceKey, ResourceStatus]:
    """The status of resources that are not valid, from their problems; those of valid ones are passed over."""
    refused = {}
    for key, own in _by_resource(problems).items():
        if any(each.phase is Phase.VALIDATION and each.severity is Severity.ERROR for each in own):
            refused[key] = ResourceStatus(accepted=False, programmed=False, reasons=_reasons(own))
    return refused


def all_statuses(
    compiled: Mapping[ResourceKey, ResourceStatus], problems: Iterable[Problem]
) -> dict[ResourceKey, ResourceStatus]:
    """
    The statuses of what was compiled and of what is not valid, by kind and name. One that has a fault and is in force
    all the same, as its last good version or in spite of an unknown field, has the status of what is in force, and its
    fault among the reasons.
    """
    found = refusals(problems)
    for key, status in compiled.items():
        refused = found.get(key)
        reasons = (*refused.reasons, *status.reasons) if refused else status.reasons
        found[key] = replace(status, reasons=tuple(dict.fromkeys(reasons))) if refused else status
    return dict(sorted(found.items()))


def _by_resource(problems: Iterable[Problem]) -> dict[ResourceKey, list[Problem]]:
    found: dict[ResourceKey, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.name:
            found[ResourceKey(problem.kind, problem.namespace, problem.name)].append(problem)
    return found


def _reasons(problems: Iterable[Problem]) -> tuple[str, ...]:
    chosen = (each for each in problems if each.severity is not Severity.INFO or each.code in NOT_TAKEN)
    return tuple(dict.fromkeys(f"{each.code}: {each.message}" for each in chosen))
