"""
The DestinationRules that cover a host: which of them a proxy follows, and why it does not follow the others.

Istio follows one rule and drops the others without a word: those in a namespace where the proxy does not look, those
that are not exported to it, those for other workloads, and those that lose to another rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from meshgate.resources.kinds.destinationrule import DestinationRule
from meshgate.resources.kinds.shared_fields import EVERYBODY
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import spelling_hint
from meshgate.routing.compile.catalog import Catalog, CatalogHost
from meshgate.routing.compile.destination_rules import (
    ROOT_NAMESPACE,
    DestinationRules,
    MergedRule,
    Stage,
    chosen,
    viewers_of,
)
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.selection import selected
from meshgate.routing.hosts import is_wildcard

PASSED_OVER: Final = "MG2079"


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A DestinationRule that covers a host.

    :ivar reason: why the proxy does not follow the rule; empty if it does.
    :ivar hint: what to change to have it followed, or empty.
    :ivar severity: how likely somebody meant it to be followed; None if Istio's order is certainly meant.
    :ivar for_all_hosts: the reason holds for every host that the rule covers.
    """

    rule: DestinationRule
    reason: str = ""
    hint: str = ""
    severity: Severity | None = None
    for_all_hosts: bool = False

    def __str__(self) -> str:
        return named(self.rule, "spec.host")

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.rule.qualified_name,
            "location": self.rule.location("spec.host"),
            "followed": not self.reason,
            "reason": self.reason or None,
        }


class Viewer(NamedTuple):
    """
    A proxy that looks for a rule.

    :ivar name: in messages.
    :ivar where: its namespace in messages.
    :ivar labels: none where they are unknown.
    """

    name: str
    namespace: str
    where: str
    labels: Mapping[str, str]

    @classmethod
    def of(cls, proxy: Proxy) -> Viewer:
        """The viewer that a gateway is."""
        return cls("this gateway", proxy.namespace, f"{proxy.namespace}, where this gateway is", proxy.labels)

    @classmethod
    def client(cls, namespace: str) -> Viewer:
        """A client in a namespace, of whose labels nothing is known."""
        return cls(f"a client in {namespace}", namespace, namespace, {})


def named(rule: DestinationRule, path: str) -> str:
    """A rule in messages, with the location of one of its fields."""
    return f"DestinationRule {rule.qualified_name} ({rule.location(path)})"


def candidates(rules: DestinationRules, found: CatalogHost, viewer: Viewer) -> Iterator[Candidate]:
    """The DestinationRules that cover a host, the most specific first."""
    covering = rules.covering(found.host)
    if covering:
        search = _Search(rules, found, viewer)
        for rule in covering:
            yield search.candidate(rule)


def passed_over(
    rules: DestinationRules, found: CatalogHost, followed: MergedRule | None, beside: Set[str], subset: str
) -> Iterator[Problem]:
    """
    The problems of policies that this gateway does not follow for a host.

    :param followed: the rule that it follows.
    :param beside: the namespaces in which a rule is likely to be meant for this gateway.
    :param subset: the subset of the route, or empty; if it is missing, that problem names the rules that have it.
    """
    in_force = followed.rules if followed is not None else []
    missing = followed is None or subset not in followed.subsets
    others = [rule for rule in rules.covering(found.host) if _has_policy(rule, subset) and rule not in in_force]
    if not others:
        return
    search = _Search(rules, found, Viewer.of(rules.proxy), beside)
    for each in map(search.candidate, others):
        if each.severity is None or (missing and any(one.name == subset for one in each.rule.spec.subsets)):
            continue
        host = rules.host_of(each.rule) if each.for_all_hosts else found.host
        yield each.rule.problem(
            each.severity,
            PASSED_OVER,
            f"this gateway does not follow the rule for {host}, so its trafficPolicy has no effect here: {each.reason}",
            path="spec.host",
            hint=each.hint,
        )


def _has_policy(rule: DestinationRule, subset: str) -> bool:
    """True if a rule has a policy for its host, or for a subset of that name."""
    return rule.spec.traffic_policy is not None or any(
        one.name == subset and one.traffic_policy is not None for one in rule.spec.subsets
    )


def gravest(problems: Collection[Problem]) -> Iterator[Problem]:
    """Of the problems that a rule is not followed, leave the gravest of those that differ in severity alone."""
    warned = {_identity(each) for each in problems if each.code == PASSED_OVER and each.severity is Severity.WARNING}
    for each in problems:
        if each.code != PASSED_OVER or each.severity is Severity.WARNING or _identity(each) not in warned:
            yield each


def _identity(problem: Problem) -> tuple[str, ...]:
    return problem.namespace, problem.name, problem.message


def missing_subset(
    rules: DestinationRules, catalog: Catalog, found: CatalogHost, name: str, viewer: Viewer
) -> tuple[str, str]:
    """The message and the hint that a proxy follows no DestinationRule with a subset, with the rules that have it."""
    covering = list(candidates(rules, found, viewer))
    missing = f"{found.host} has no subset {name}"
    for each in covering:
        names = [subset.name for subset in each.rule.spec.subsets]
        if name in names:
            where = named(each.rule, f"spec.subsets[{names.index(name)}].name")
            return f"{missing} for {viewer.name}: {where} has it, but {each.reason}", each.hint
    for rule in rules.with_short_host(found.source.name):
        has_it = any(subset.name == name for subset in rule.spec.subsets)
        if has_it and catalog.find(rules.host_of(rule)) is None:
            return (
                f"{missing}: {named(rule, 'spec.host')} has it for {rules.host_of(rule)}, since a short name is "
                "completed with the namespace of its own resource",
                f"write {found.host} there, and move the rule to {found.source.namespace}",
            )
    followed = [each.rule for each in covering if not each.reason]
    if not followed:
        cause = f"{viewer.name} follows no" if covering else "there is no"
        return f"{missing}: {cause} DestinationRule for it", f"write one in {found.source.namespace}"
    others = [subset.name for rule in followed for subset in rule.spec.subsets]
    where = " and ".join(named(rule, "spec.host") for rule in followed)
    near = spelling_hint(name, others) if others else ""
    add = "add the subset to that rule" + (", or name one that it has" if others else "")
    return f"{missing}: {where} has {', '.join(others) or 'none'}", near if near.endswith("?") else add


@dataclass(frozen=True, slots=True)
class RuleLookup:
    """The DestinationRules of one table by the hosts of its destinations."""

    catalog: Catalog = field(default_factory=lambda: Catalog((), ""))
    rules: DestinationRules = field(default_factory=lambda: DestinationRules((), Proxy({}, "")))

    def candidates(self, host: str) -> tuple[Candidate, ...]:
        """The DestinationRules that cover a host, as this gateway sees them, the followed ones first."""
        found = self.catalog.find(host, self.rules.proxy.namespace)
        if found is None:
            return ()
        several = candidates(self.rules, found, Viewer.of(self.rules.proxy))
        return tuple(sorted(several, key=lambda each: bool(each.reason)))


class _Search:
    """One proxy's search for the rule of one host, with the reasons of those that it does not follow."""

    def __init__(
        self, rules: DestinationRules, found: CatalogHost, viewer: Viewer, beside: Set[str] = frozenset()
    ) -> None:
        self._rules = rules
        self._service_namespace = found.source.namespace
        self._viewer = viewer
        self._beside = beside
        self._stages = list(rules.stages(found.host, self._service_namespace, viewer.namespace))
        # The index of the stage that decides.
        self._last = next((index for index, stage in enumerate(self._stages) if stage.visible), len(self._stages))
        deciding = self._stages[self._last].visible if self._last < len(self._stages) else ()
        self._followed = chosen(deciding, viewer.labels)

    def candidate(self, rule: DestinationRule) -> Candidate:
        """A rule that covers the host, with the reason why it is not followed, if there is one."""
        if self._followed is not None and any(each is rule for each in self._followed.rules):
            return Candidate(rule)
        if self._rules.is_refused(rule):
            return Candidate(rule, "it is not valid", "the problems of the rule say why")
        if rule.namespace not in [stage.namespace for stage in self._stages]:
            return self._elsewhere(rule)
        if rule.spec.workload_selector is not None:
            if rule.namespace != self._viewer.namespace:
                return self._selector_elsewhere(rule)
            if not selected(_labels(rule), self._viewer.labels):
                return self._other_workload(rule)
        if not self._exported(rule):
            return self._not_exported(rule)
        index = self._stage_of(rule)
        if index > self._last:
            return self._late(rule, self._stages[index])
        return self._beaten(rule, index)

    def _stage_of(self, rule: DestinationRule) -> int:
        """The index of the stage in which the proxy comes upon a rule that is exported to it."""
        own = rule.namespace == self._viewer.namespace
        if own and (rule.namespace != ROOT_NAMESPACE or viewers_of(rule) == {ROOT_NAMESPACE}):
            return 0
        return next(index for index, each in enumerate(self._stages) if index and each.namespace == rule.namespace)

    def _exported(self, rule: DestinationRule) -> bool:
        return not viewers_of(rule).isdisjoint({EVERYBODY, self._viewer.namespace})

    def _elsewhere(self, rule: DestinationRule) -> Candidate:
        """A rule in a namespace in which the proxy does not look; sidecars of that namespace may follow it."""
        likely = rule.namespace in self._beside and self._nothing_as_near(rule)
        severity: Severity | None = Severity.INFO
        if is_wildcard(self._rules.host_of(rule)):
            severity = Severity.INFO if likely else None
        elif likely and EVERYBODY in viewers_of(rule):
            severity = Severity.WARNING
        reason = f"it stands in {rule.namespace}, and {self._viewer.name} looks in {self._looks_in()}"
        return Candidate(rule, reason, self._moves(rule), severity, for_all_hosts=True)

    def _looks_in(self) -> str:
        owners: dict[str, dict[str, None]] = {}
        for stage in self._stages:
            owners.setdefault(stage.namespace, {})[stage.owner] = None
        *first, last = (f"{namespace} ({' and '.join(several)})" for namespace, several in owners.items())
        return f"{', '.join(first)} and {last}" if first else last

    def _moves(self, rule: DestinationRule) -> str:
        """The hint to move a rule to a namespace in which the proxy looks."""
        own, service = self._viewer.namespace, self._service_namespace
        if own == service:
            return f"move it to {own}"
        exported = "" if EVERYBODY in viewers_of(rule) else ' with exportTo ["*"]'
        return (
            f"move it to {service}{exported}, for all clients of the service, or to {_private(own)}, for proxies there"
        )

    def _selector_elsewhere(self, rule: DestinationRule) -> Candidate:
        meant = bool(_labels(rule)) and selected(_labels(rule), self._viewer.labels)
        return Candidate(
            rule,
            f"with a workloadSelector it is for proxies in its own namespace {rule.namespace} only, and not for those "
            f"in {self._viewer.where}",
            f"leave workloadSelector out, or move the rule to {self._viewer.namespace}",
            Severity.WARNING if meant else Severity.INFO,
            for_all_hosts=True,
        )

    def _other_workload(self, rule: DestinationRule) -> Candidate:
        have = _text(self._viewer.labels)
        reason = f"its workloadSelector is for proxies labeled {_text(_labels(rule))}"
        reason += f", and {self._viewer.name} is labeled {have}" if have else ""
        hint = "leave workloadSelector out, or select a label of the gateway"
        return Candidate(rule, reason, hint, Severity.INFO, for_all_hosts=True)

    def _not_exported(self, rule: DestinationRule) -> Candidate:
        wanted = [f'"{self._viewer.namespace}"', f'"{EVERYBODY}"']
        return Candidate(
            rule,
            f"it is exported to {_viewers_text(rule)} only, and not to {self._viewer.where}",
            f"add {' or '.join(wanted)} to its exportTo",
            Severity.INFO if self._nothing_as_near(rule) or not is_wildcard(self._rules.host_of(rule)) else None,
            for_all_hosts=True,
        )

    def _late(self, rule: DestinationRule, own: Stage) -> Candidate:
        """A rule in a stage that the proxy does not reach."""
        stage = self._stages[self._last]
        first = f"in {stage.namespace} ({stage.owner})"
        if self._followed is None:
            winner = stage.visible[-1].rules[0]
            return Candidate(
                rule,
                f"{named(winner, 'spec.host')} {first} comes first, although its workloadSelector is for other proxies",
                f"write a rule without workloadSelector in {_private(stage.namespace)}, too",
                Severity.WARNING,
            )
        winner = self._followed.rules[0]
        wider = _wider(self._rules.host_of(rule), self._rules.host_of(winner))
        reason = f"{named(winner, 'spec.host')} {first} comes before one in {own.namespace} ({own.owner})"
        return Candidate(rule, reason, _MERGE, None if wider else Severity.INFO)

    def _beaten(self, rule: DestinationRule, index: int) -> Candidate:
        """A rule that loses to another one of its namespace."""
        stage = self._stages[index]
        in_force = self._followed if index == self._last else None
        winner = (in_force or stage.nearest[-1]).rules[0]
        name, nearer = named(winner, "spec.host"), self._rules.host_of(winner)
        if nearer != self._rules.host_of(rule):
            reason, severity = f"the host {nearer} of {name} is more specific", None
            if in_force is None:
                by_label = winner.spec.workload_selector is not None
                others = "workloads" if by_label else f"{_viewers_text(winner)} only"
                reason += f", and hides it, although that rule is for {'other ' if by_label else ''}{others}"
                severity = Severity.WARNING
            return Candidate(rule, reason, _MERGE, severity)
        if winner.spec.workload_selector is not None:
            return Candidate(rule, f"{name} selects {self._viewer.name} by its labels", _MERGE)
        return Candidate(
            rule,
            f"{name} is for the same host with another exportTo, and of such rules the youngest counts alone",
            "write the same exportTo in both, or one DestinationRule a host",
            Severity.WARNING,
        )

    def _nothing_as_near(self, rule: DestinationRule) -> bool:
        """True if the proxy follows no rule whose host is as specific as that of a rule."""
        followed = self._followed
        return followed is None or _wider(self._rules.host_of(followed.rules[0]), self._rules.host_of(rule))


_MERGE: Final = "Istio follows one rule and merges nothing of the others into it"


def _private(namespace: str) -> str:
    """A namespace, and what a rule there needs to be for its own proxies before all others."""
    return f'{namespace} with exportTo ["."]' if namespace == ROOT_NAMESPACE else namespace


def _wider(one: str, other: str) -> bool:
    """True if of two hosts that cover the same host, the first is less specific."""
    return is_wildcard(one) and (not is_wildcard(other) or len(one) < len(other))


def _labels(rule: DestinationRule) -> Mapping[str, str]:
    selector = rule.spec.workload_selector
    return selector.match_labels if selector is not None else {}


def _text(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _viewers_text(rule: DestinationRule) -> str:
    return ", ".join(sorted(viewers_of(rule)))
