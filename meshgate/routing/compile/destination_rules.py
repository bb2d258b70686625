"""
The DestinationRule that counts for a host, as one gateway sees it, and the merging of several for the same host.

The rules are Istio's (pilot/pkg/model/push_context.go, destinationRule, and destination_rule.go). A proxy looks in
three namespaces, one after the other: its own, the service's, and the root namespace. The first in which it sees a rule
decides, with its most specific host; nothing is merged across namespaces. Which rules lose, and why, is in
:mod:`meshgate.routing.compile.rule_candidates`; what the policies mean, in
:mod:`meshgate.routing.compile.traffic_policies`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from meshgate.resources.kinds.destinationrule import DestinationRule, Subset, TrafficPolicy
from meshgate.resources.kinds.shared_fields import EVERYBODY
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.precedence import precedence_by_name
from meshgate.routing.compile.selection import scopes, selected
from meshgate.routing.hosts import full_name, is_wildcard, most_specific, wildcards_over

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
    :ivar rules: the rules, the oldest first.
    :ivar subsets: by name; of several with one name the oldest.
    :ivar policy: the policy of the oldest rule that has one, with that rule.
    """

    seen_by: frozenset[str]
    selector: Mapping[str, str] | None
    rules: list[DestinationRule] = field(default_factory=list)
    subsets: dict[str, OwnedSubset] = field(default_factory=dict)
    policy: tuple[DestinationRule, TrafficPolicy] | None = None

    def merge(self, rule: DestinationRule) -> None:
        """Merge a younger rule."""
        self.rules.append(rule)
        for index, subset in enumerate(rule.spec.subsets):
            self.subsets.setdefault(subset.name, OwnedSubset(rule, index, subset))
        if self.policy is None and rule.spec.traffic_policy is not None:
            self.policy = (rule, rule.spec.traffic_policy)

    def problems(self) -> Iterator[Problem]:
        """The problems of what is lost of the rules."""
        if len(self.rules) < 2:
            return
        with_policy = [rule for rule in self.rules if rule.spec.traffic_policy is not None]
        for rule in with_policy[1:]:
            yield _policy_taken(rule, with_policy)
        owners: dict[str, list[DestinationRule]] = defaultdict(list)
        for rule in self.rules:
            for subset in rule.spec.subsets:
                owners[subset.name].append(rule)
        for rule in self.rules:
            for index, subset in enumerate(rule.spec.subsets):
                first = self.subsets[subset.name]
                if first.rule is not rule:
                    yield _subset_taken(rule, index, first, owners[subset.name])

    def visible(self, namespace: str) -> bool:
        """True if a proxy in a namespace may see the rules."""
        return EVERYBODY in self.seen_by or namespace in self.seen_by


class Stage(NamedTuple):
    """
    One namespace in which a proxy looks for the rule of a host.

    :ivar owner: whose namespace it is, as ``its own``.
    :ivar nearest: the rules there with the most specific host that covers the host.
    :ivar visible: those of them that the proxy may see; if there are any, the proxy looks no further.
    """

    namespace: str
    owner: str
    nearest: Sequence[MergedRule]
    visible: Sequence[MergedRule]


class _Index:
    """Merged rules by namespace and host."""

    def __init__(self) -> None:
        self._rules: dict[str, dict[str, list[MergedRule]]] = defaultdict(lambda: defaultdict(list))

    def add(self, rule: DestinationRule, host: str, seen_by: frozenset[str]) -> None:
        """Add a rule, merged with older ones for the same proxies."""
        chosen = rule.spec.workload_selector
        selector = None if chosen is None else chosen.match_labels
        same_host = self._rules[rule.namespace][host]
        for merged in same_host:
            if (merged.seen_by, merged.selector) == (seen_by, selector):
                merged.merge(rule)
                return
        same_host.append(MergedRule(seen_by, selector))
        same_host[-1].merge(rule)

    def problems(self) -> Iterator[Problem]:
        """The problems of what is lost of the rules."""
        for by_host in self._rules.values():
            for same_host in by_host.values():
                for merged in same_host:
                    yield from merged.problems()

    def find(self, namespace: str, host: str) -> list[MergedRule]:
        """The rules of a namespace with the most specific host that covers a host."""
        by_host = self._rules.get(namespace)
        nearest = most_specific(host, by_host) if by_host else None
        return by_host[nearest] if by_host and nearest is not None else []


class DestinationRules:
    """
    All DestinationRules as one gateway sees them.

    :param rules: in any order.
    :param refused: invalid ones, which nobody follows.
    :ivar problems: of subsets and policies that are lost where several rules are for one host.
    """

    def __init__(
        self,
        rules: Iterable[DestinationRule],
        proxy: Proxy,
        refused: Iterable[DestinationRule] = (),
    ) -> None:
        self.proxy = proxy
        # Each rule with its host, by identity, from the oldest to the youngest; the invalid ones last.
        self._hosts: dict[int, tuple[DestinationRule, str]] = {}
        self._refused: set[int] = set()
        self._by_host: dict[str, list[DestinationRule]] = defaultdict(list)
        self._by_short_host: dict[str, list[DestinationRule]] = defaultdict(list)
        self._has_wildcards = False
        self._local, self._exported, self._root_private = _Index(), _Index(), _Index()
        for rule in sorted(rules, key=Resource.order):
            host = self._add(rule)
            seen_by = viewers_of(rule)
            if EVERYBODY in seen_by or rule.namespace in seen_by:
                self._local.add(rule, host, seen_by)
            if seen_by != {rule.namespace}:
                self._exported.add(rule, host, seen_by)
            elif rule.namespace == ROOT_NAMESPACE:
                self._root_private.add(rule, host, seen_by)
        for rule in sorted(refused, key=Resource.order):
            self._add(rule)
            self._refused.add(id(rule))
        lost = (problem for index in (self._local, self._exported, self._root_private) for problem in index.problems())
        self.problems = list(dict.fromkeys(lost))

    def _add(self, rule: DestinationRule) -> str:
        host = self.host_of(rule)
        self._hosts[id(rule)] = rule, host
        self._by_host[host].append(rule)
        self._has_wildcards |= is_wildcard(host)
        self._by_short_host[rule.spec.host].append(rule)
        return host

    def host_of(self, rule: DestinationRule) -> str:
        """The full name of a rule's host."""
        return full_name(rule.spec.host, rule.namespace, self.proxy.domain_suffix)

    def is_refused(self, rule: DestinationRule) -> bool:
        """True if a rule is invalid."""
        return id(rule) in self._refused

    def changed_hosts(self, before: DestinationRules) -> set[str]:
        """The hosts, wildcards among them, of rules that have changed, or come or gone, since another set of rules."""
        changed = self._hosts.keys() ^ before._hosts.keys() | self._refused ^ before._refused
        return {{**before._hosts, **self._hosts}[key][1] for key in changed}

    def covering(self, host: str) -> list[DestinationRule]:
        """Rules whose host is a host or a wildcard over it, wherever they stand; the most specific first."""
        names = [host, *(wildcards_over(host) if self._has_wildcards else ())]
        return [rule for name in dict.fromkeys(names) for rule in self._by_host.get(name, ())]

    def with_short_host(self, name: str) -> list[DestinationRule]:
        """The rules for the short name of a Service, of whatever namespace."""
        return self._by_short_host.get(name, [])

    def find(self, host: str, namespace: str) -> MergedRule | None:
        """
        The rule that this gateway follows for a host.

        :param host: a full name.
        :param namespace: of the service.
        """
        for stage in self.stages(host, namespace, self.proxy.namespace):
            if stage.visible:
                return chosen(stage.visible, self.proxy.labels)
        return None

    def stages(self, host: str, namespace: str, viewer: str) -> Iterator[Stage]:
        """
        The namespaces in which a proxy looks, in their order: its own, the service's, and the root namespace. If its
        own namespace is the root namespace, only rules private to it come first.

        :param namespace: of the service.
        :param viewer: the namespace of the proxy.
        """
        local = (self._root_private if viewer == ROOT_NAMESPACE else self._local).find(viewer, host)
        yield Stage(viewer, "its own", local, local)
        for other, owner in ((namespace, "the service's"), (ROOT_NAMESPACE, "the root namespace")):
            exported = self._exported.find(other, host)
            yield Stage(other, owner, exported, [rule for rule in exported if rule.visible(viewer)])

    def any_client_has(self, subset: str, host: str, namespace: str, viewers: Set[str]) -> bool:
        """
        True if some proxy, whatever its labels, follows a rule for a host with a subset of that name.

        :param namespace: of the service.
        :param viewers: the namespaces of the proxies; ``*`` for all.
        """
        having = [each for each in self.covering(host) if any(one.name == subset for one in each.spec.subsets)]
        if EVERYBODY in viewers:
            # All other namespaces see what the nameless one sees.
            viewers = {namespace, ""}.union(*(viewers_of(each) | {each.namespace} for each in having)) - {EVERYBODY}
        return bool(having) and any(
            subset in rule.subsets for viewer in viewers for rule in self._possible(host, namespace, viewer)
        )

    def _possible(self, host: str, namespace: str, viewer: str) -> list[MergedRule]:
        """The rules of which a proxy in a namespace follows one for a host; its labels decide which."""
        visible = next((each.visible for each in self.stages(host, namespace, viewer) if each.visible), ())
        for_all = [rule for rule in visible if rule.selector is None]
        return [rule for rule in visible if rule.selector is not None] + for_all[-1:]


def chosen(rules: Iterable[MergedRule], labels: Mapping[str, str]) -> MergedRule | None:
    """Of rules for one host, the first that selects a proxy by its labels; else the last for every proxy."""
    catch_all: MergedRule | None = None
    for rule in rules:
        if rule.selector is None:
            catch_all = rule
        elif selected(rule.selector, labels):
            return rule
    return catch_all


def viewers_of(rule: DestinationRule) -> frozenset[str]:
    """The namespaces whose proxies may follow a rule; ``*`` for all. One with a workloadSelector is for its own."""
    return scopes(rule) if rule.spec.workload_selector is None else frozenset([rule.namespace])


def _subset_taken(rule: DestinationRule, index: int, first: OwnedSubset, rivals: Sequence[DestinationRule]) -> Problem:
    return rule.problem(
        Severity.WARNING,
        "MG2064",
        f"the subset {first.subset.name} of {rule.spec.host} is ignored: DestinationRule {first.rule.qualified_name} "
        f"({first.location}) has one of that name and comes first, {precedence_by_name(first.rule, rule, rivals)}",
        path=f"spec.subsets[{index}].name",
        hint="give it another name, or write one DestinationRule a host",
    )


def _policy_taken(rule: DestinationRule, rivals: Sequence[DestinationRule]) -> Problem:
    first = rivals[0]
    return rule.problem(
        Severity.WARNING,
        "MG2065",
        f"the trafficPolicy for {rule.spec.host} is ignored: DestinationRule {first.qualified_name} "
        f"({first.location('spec.trafficPolicy')}) has one and comes first, {precedence_by_name(first, rule, rivals)}",
        path="spec.trafficPolicy",
        hint="write one DestinationRule a host",
    )
