"""
The DestinationRule that counts for a host, as one gateway sees it, and the merging of several for the same host.

The rules are Istio's (pilot/pkg/model/push_context.go, destinationRule, and destination_rule.go). What the policies
mean is in :mod:`meshgate.routing.compile.traffic_policies`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshgate.resources.kinds.destinationrule import DestinationRule, Subset
from meshgate.resources.kinds.shared_fields import EVERYBODY
from meshgate.resources.kinds.trafficpolicy import TrafficPolicy
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource
from meshgate.routing.compile.catalog import scopes, selected
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.hosts import full_name, most_specific

ROOT_NAMESPACE: Final = "istio-system"
"""The namespace of DestinationRules for the whole mesh."""


@dataclass(frozen=True, slots=True)
class OwnedSubset:
    """
    A subset and its DestinationRule.

    :ivar index: the subset's index in the rule's ``spec.subsets``.
    """

    rule: DestinationRule
    index: int
    subset: Subset

    @property
    def location(self) -> str:
        """The location of the subset's name."""
        return self.rule.location(f"spec.subsets[{self.index}].name")


@dataclass(slots=True)
class MergedRule:
    """
    All DestinationRules of one namespace for one host and the same proxies.

    :ivar seen_by: the namespaces that may see the rules; ``*`` for all.
    :ivar selector: labels that a proxy must have; None if the rules are for every proxy.
    :ivar subsets: by name; of several with one name the oldest.
    :ivar policy: the policy of the oldest rule that has one, with that rule.
    """

    seen_by: frozenset[str]
    selector: Mapping[str, str] | None
    subsets: dict[str, OwnedSubset] = field(default_factory=dict)
    policy: tuple[DestinationRule, TrafficPolicy] | None = None

    def merge(self, rule: DestinationRule) -> Iterator[Problem]:
        """Merge a younger rule, and yield the problems of what is lost of it."""
        for index, subset in enumerate(rule.spec.subsets):
            first = self.subsets.setdefault(subset.name, OwnedSubset(rule, index, subset))
            if first.rule is not rule:
                yield _subset_taken(rule, index, first)
        if rule.spec.traffic_policy is not None:
            if self.policy is None:
                self.policy = (rule, rule.spec.traffic_policy)
            else:
                yield _policy_taken(rule, self.policy[0])

    def visible(self, namespace: str) -> bool:
        """True if a proxy in a namespace may see the rules."""
        return EVERYBODY in self.seen_by or namespace in self.seen_by


class _Index:
    """Merged rules by namespace and host."""

    def __init__(self) -> None:
        self._rules: dict[str, dict[str, list[MergedRule]]] = defaultdict(lambda: defaultdict(list))

    def add(self, rule: DestinationRule, host: str, seen_by: frozenset[str]) -> Iterator[Problem]:
        """Add a rule, merged with older ones for the same proxies; yield the problems of what is lost of it."""
        chosen = rule.spec.workload_selector
        selector = None if chosen is None else chosen.match_labels
        same_host = self._rules[rule.namespace][host]
        for merged in same_host:
            if (merged.seen_by, merged.selector) == (seen_by, selector):
                yield from merged.merge(rule)
                return
        same_host.append(MergedRule(seen_by, selector))
        yield from same_host[-1].merge(rule)

    def find(self, namespace: str, host: str) -> list[MergedRule]:
        """The rules of a namespace with the most specific host that covers a host."""
        by_host = self._rules.get(namespace)
        nearest = most_specific(host, by_host) if by_host else None
        return by_host[nearest] if by_host and nearest is not None else []


class DestinationRules:
    """
    All DestinationRules as one gateway sees them.

    :param rules: in any order.
    :ivar problems: of subsets and policies that are lost where several rules are for one host.
    """

    def __init__(self, rules: Iterable[DestinationRule], proxy: Proxy) -> None:
        self._proxy = proxy
        # Each rule with its host, by identity.
        self._hosts: dict[int, tuple[DestinationRule, str]] = {}
        self._local, self._exported, self._root_private = _Index(), _Index(), _Index()
        lost: list[Problem] = []
        for rule in sorted(rules, key=Resource.order):
            host = full_name(rule.spec.host, rule.namespace, self._proxy.domain_suffix)
            self._hosts[id(rule)] = rule, host
            seen_by = scopes(rule) if rule.spec.workload_selector is None else frozenset([rule.namespace])
            if EVERYBODY in seen_by or rule.namespace in seen_by:
                lost += self._local.add(rule, host, seen_by)
            if seen_by != {rule.namespace}:
                lost += self._exported.add(rule, host, seen_by)
            elif rule.namespace == ROOT_NAMESPACE:
                lost += self._root_private.add(rule, host, seen_by)
        self.problems = list(dict.fromkeys(lost))

    def changed_hosts(self, before: DestinationRules) -> set[str]:
        """The hosts, wildcards among them, of rules that have changed, or come or gone, since another set of rules."""
        changed = self._hosts.keys() ^ before._hosts.keys()
        return {{**before._hosts, **self._hosts}[key][1] for key in changed}

    def find(self, host: str, namespace: str) -> MergedRule | None:
        """
        The rule for a host: one of the gateway's own namespace; else of the service's namespace; else of the root
        namespace. If the gateway's own namespace is the root namespace, only rules private to it come first.

        :param host: a full name.
        :param namespace: of the service.
        """
        own = self._proxy.namespace
        local = (self._root_private if own == ROOT_NAMESPACE else self._local).find(own, host)
        if local:
            return self._for_proxy(local)
        for other in (namespace, ROOT_NAMESPACE):
            visible = [rule for rule in self._exported.find(other, host) if rule.visible(own)]
            if visible:
                return self._for_proxy(visible)
        return None

    def _for_proxy(self, rules: Iterable[MergedRule]) -> MergedRule | None:
        """The first rule that selects this gateway by its labels; else the last rule for every proxy."""
        catch_all: MergedRule | None = None
        for rule in rules:
            if rule.selector is None:
                catch_all = rule
            elif selected(rule.selector, self._proxy.labels):
                return rule
        return catch_all


def _subset_taken(rule: DestinationRule, index: int, first: OwnedSubset) -> Problem:
    return rule.problem(
        Severity.WARNING,
        "MG2064",
        f"the subset {first.subset.name} of {rule.spec.host} is ignored: DestinationRule {first.rule.qualified_name} "
        f"({first.location}) is older and has one of that name",
        path=f"spec.subsets[{index}].name",
        hint="give it another name, or write one DestinationRule a host",
    )


def _policy_taken(rule: DestinationRule, first: DestinationRule) -> Problem:
    return rule.problem(
        Severity.WARNING,
        "MG2065",
        f"the trafficPolicy for {rule.spec.host} is ignored: DestinationRule {first.qualified_name} "
        f"({first.location('spec.trafficPolicy')}) is older and has one",
        path="spec.trafficPolicy",
        hint="write one DestinationRule a host",
    )
