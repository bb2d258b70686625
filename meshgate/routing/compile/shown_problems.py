"""
The problems that people are shown: those that count at several gateways, and one for each cause.

The resources are compiled for each gateway. Of each compilation count the problems of the Gateways that select that
gateway, and of the VirtualServices that name these Gateways. Of any other resource all problems count. Each compilation
has all resources, since any may clash with others or be a hint. But it leaves out what costs most, and what would not
count: the checks of resources that only other gateways judge. And all share one catalog of hosts.

A Service without endpoints is a problem of every route that leads to it, and a port that the Service of the gateway
lacks is one of every server on it. The status of a resource has them all; a list for people has one for each cause,
which counts the others. Where endpoints are missing only because they are Pods of the same input, one problem stands
for all of a file. Where nothing is routed from a server since rules are of another kind, its problem names their
VirtualServices, and stands for those of the rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from meshgate.resources.kinds.gateway import Gateway, GatewaySpec
from meshgate.resources.kinds.virtualservice import VirtualService, VirtualServiceSpec
from meshgate.resources.latest import ResourceChange
from meshgate.resources.phases import Rest, at_once, no_rest
from meshgate.resources.problem import Phase, Problem, Severity, in_order
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.resources.wording import count_of
from meshgate.routing.compile.compiler import Compiler, compile_change
from meshgate.routing.compile.gateway_proxy import ISTIO_GATEWAYS, KnownGateway, Proxy, implied_only
from meshgate.routing.compile.known_gateways import short_names
from meshgate.routing.compile.route_binding import gateways_of, in_mesh

_OTHERS: Final = {"MG2020": "destination", "MG2022": "destination", "MG2042": "server"}
"""The codes of problems that may have a common cause, each with the noun for what the problems are about."""


def one_for_each_cause(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """
    Leave one of the problems that have a common cause, the first of them.

    :param problems: in the order of the files.
    """
    found = list(problems)
    # That a route names none of several ports is no news where the port that counts then does not exist.
    without_port = {_field(problem) for problem in found if problem.code == "MG2021"}
    of_servers = {cause for problem in found if problem.code == "MG2008" for cause in problem.causes}
    groups: dict[Hashable, list[Problem]] = {}
    for problem in found:
        if problem.code == "MG2052" and problem.causes and of_servers.issuperset(problem.causes):
            continue
        if problem.code == "MG2047" and _field(problem) in without_port:
            continue
        groups.setdefault(_cause(problem) or problem, []).append(problem)
    return tuple(_with_count(group) if len(group) > 1 else group[0] for group in groups.values())


def _field(problem: Problem) -> Hashable:
    return problem.kind, problem.namespace, problem.name, problem.path


def _cause(problem: Problem) -> Hashable:
    """The cause of a problem; None if no other problem can have it."""
    if problem.code not in _OTHERS:
        return None
    is_info = problem.severity is Severity.INFO
    if problem.code == "MG2020" and not is_info:
        return None  # each of them is to be mended
    if problem.code == "MG2022" and is_info:
        return problem.code, problem.file
    return problem.code, problem.message


def _with_count(group: list[Problem]) -> Problem:
    first, others = group[0], len(group) - 1
    is_one = others == 1
    more = count_of(others, f"more {_OTHERS[first.code]}")
    return replace(first, message=f"{first.message}; {more} {'has' if is_one else 'have'} the same problem")


_OF_ISTIO: Final = frozenset(pair for name in ISTIO_GATEWAYS for pair in (("istio", name), ("app", f"istio-{name}")))
"""The labels of the gateways that Istio installs."""

_Selector = frozenset[tuple[str, str]]


def proxy_of(gateway: KnownGateway, proxy: Proxy, gateways: Sequence[KnownGateway] = ()) -> Proxy:
    """
    A gateway as Istio sees it.

    :param proxy: whatever is the same for all gateways.
    :param gateways: all gateways.
    """
    others = tuple(each for each in gateways if each is not gateway)
    return replace(proxy, labels=gateway.labels, namespace=gateway.namespace, others=others)


def judge(
    resources: Collection[Resource[Any]],
    proxy: Proxy,
    judged: Sequence[KnownGateway],
    gateways: Sequence[KnownGateway],
    refused: Collection[Resource[Any]] = (),
    now: datetime | None = None,
    rest: Rest = no_rest,
) -> tuple[Problem, ...]:
    """
    The problems of resources at several gateways, in the order of the files.

    :param proxy: whatever is the same for all gateways.
    :param judged: the gateways.
    :param gateways: these and others.
    :param refused: see :func:`~meshgate.routing.compile.compiler.compile_table`.
    :param now: likewise.
    :param rest: likewise.
    """
    judges = _Judges([*resources, *refused], judged)
    found: dict[Problem, list[int]] = defaultdict(list)
    first: Compiler | None = None
    for index, gateway in enumerate(judged):
        compiler = Compiler(proxy_of(gateway, proxy, gateways), judges.elsewhere(index), first)
        change = ResourceChange(added=list(resources))
        compilation = at_once(compile_change(compiler, change, 1, refused, now, rest))
        first = first or compiler
        for problem in dict.fromkeys(compilation.problems):
            found[problem].append(index)
    kept = []
    for problem, indexes in found.items():
        own = judges.of(problem)
        if own.intersection(indexes):
            names = judges.names(problem, frozenset(indexes))
            kept.append(replace(problem, gateway=names) if names else problem)
    kept += [implied_only(first, len(others)) for first, *others in judges.implied()]
    return in_order(kept)


class _Judges:
    """
    The gateways that judge each resource: a Gateway is judged by those that it selects, and a VirtualService by those
    of the Gateways that it names. The first gateway judges whatever no other does.
    """

    def __init__(self, resources: Iterable[Resource[Any]], gateways: Sequence[KnownGateway]) -> None:
        self._all = frozenset(range(len(gateways)))
        self._gateways = gateways
        self._names = short_names(gateways)
        self._selecting: list[Gateway] = []
        self._in_mesh: set[ResourceKey] = set()
        self._judges: dict[ResourceKey, frozenset[int]] = {}
        # Gateways that only some gateways look at, and VirtualServices whose Gateways are all among these.
        self._by_few: dict[ResourceKey, frozenset[int]] = {}
        by_name: dict[str, frozenset[int]] = {}
        by_selector: dict[_Selector, frozenset[int]] = {}
        virtual_services: list[VirtualService] = []
        for resource in resources:
            if isinstance(resource.spec, GatewaySpec):
                chosen = self._selected(resource, gateways, by_selector)
                if resource.key in self._judges:
                    self._by_few.pop(resource.key, None)  # an older version counts, and has another selector perhaps
                else:
                    self._by_few[resource.key] = chosen
                self._judges[resource.key] = by_name[resource.qualified_name] = chosen
                self._selecting.append(resource)
            elif isinstance(resource.spec, VirtualServiceSpec):
                virtual_services.append(resource)
        for each in virtual_services:
            own = [by_name.get(name, frozenset([0])) for name in gateways_of(each)]
            if in_mesh(each):
                self._in_mesh.add(each.key)
                own.append(frozenset([0]))
            self._judges[each.key] = frozenset().union(*own) or frozenset([0])
            named = [ResourceKey("Gateway", *name.split("/", 1)) for name in gateways_of(each)]
            if not in_mesh(each) and self._by_few.keys() >= set(named):
                self._by_few[each.key] = self._judges[each.key]

    def elsewhere(self, index: int) -> frozenset[ResourceKey]:
        """The Gateways that a gateway does not judge, and the VirtualServices for such Gateways alone."""
        return frozenset(key for key, judges in self._by_few.items() if index not in judges)

    def of(self, problem: Problem) -> frozenset[int]:
        """The indexes of the gateways that judge the resource of a problem."""
        return self._judges.get(ResourceKey(problem.kind, problem.namespace, problem.name), self._all)

    def names(self, problem: Problem, found_by: frozenset[int]) -> str:
        """
        The names of the gateways that a problem concerns; empty if it concerns all, or none in particular.

        :param found_by: the indexes of the gateways whose compilation has the problem.
        """
        own = self.of(problem).intersection(found_by)
        in_mesh_too = ResourceKey(problem.kind, problem.namespace, problem.name) in self._in_mesh
        if problem.phase is Phase.VALIDATION or own == self._all or (in_mesh_too and found_by == self._all):
            return ""
        return ", ".join(self._names[index] for index in sorted(own))

    def implied(self) -> list[list[Gateway]]:
        """
        The Gateways for which only implied gateways have the labels, those for one gateway together. Those for gateways
        that Istio installs are left out.
        """
        found: dict[frozenset[int], list[Gateway]] = defaultdict(list)
        for each in self._selecting:
            selector, judges = each.spec.selector, self._judges[each.key]
            implied = all(self._gateways[index].is_implied for index in judges)
            if selector and implied and _OF_ISTIO.isdisjoint(selector.items()):
                found[judges].append(each)
        return list(found.values())

    @staticmethod
    def _selected(
        gateway: Gateway, gateways: Sequence[KnownGateway], by_selector: dict[_Selector, frozenset[int]]
    ) -> frozenset[int]:
        selector = frozenset(gateway.spec.selector.items())
        if selector not in by_selector:
            chosen = [index for index, one in enumerate(gateways) if selector <= one.labels.items()]
            by_selector[selector] = frozenset(chosen or [0])
        return by_selector[selector]
