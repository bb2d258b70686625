"""
The gateways that the resources show.

Problem: in a cluster there are several gateways: the public one, one for egress, private ones. A Gateway belongs to
those whose pod has the labels of its selector, and only there its servers clash with others. Files seldom show the
pods.

Approach: :func:`known_gateways` takes for gateways the Pods and templates of Pods that a Gateway selects; the Services
in front of such pods, where no Pod was read; Istio's own ingress gateway; and for each selector that is left a gateway
that it describes.

Invariants: every Gateway belongs to at least one gateway, unless its selector is wrong. The first gateway is the one
that answers questions about connections.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.pod import PodSpec, makes_pods, pod_labels
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.shared_fields import EVERYBODY
from meshgate.resources.kinds.virtualservice import VirtualServiceSpec
from meshgate.resources.resource import Resource
from meshgate.routing.compile.gateway_proxy import (
    ISTIO_GATEWAYS,
    KnownGateway,
    PodFacts,
    absent_among,
    misspelled,
)
from meshgate.routing.compile.route_binding import gateways_of
from meshgate.routing.compile.selection import scopes, selected, selector_text

ISTIO_NAME: Final = "istio-ingressgateway"
"""The name of the gateway that Istio installs."""

_PREFIX: Final = "istio-"
_NOT_FOR_INGRESS: Final = ("egress", "eastwest", "east-west")

Selector = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """
    A gateway that the resources show.

    :ivar selectors: those of the Gateways that select it.
    """

    gateway: KnownGateway
    selectors: frozenset[Selector]


def known_gateways(
    resources: Iterable[Resource[Any]], istio: KnownGateway, *, any_namespace: bool
) -> tuple[KnownGateway, ...]:
    """
    Find the gateways that Gateways select. The one for which most of them are meant, if possible Istio's own, is first.

    :param resources: valid ones and the readable fields of invalid ones.
    :param istio: the gateway that Istio installs.
    :param any_namespace: the namespace of that gateway is a guess, which the resources may correct.
    """
    in_age_order = sorted(resources, key=Resource.order)
    selectors = dict.fromkeys(
        frozenset(each.spec.selector.items())
        for each in in_age_order
        if isinstance(each.spec, GatewaySpec) and each.spec.selector
    )
    shown = _different([*_of_pods(in_age_order, selectors), *_of_services(in_age_order, selectors)])
    for_istio = frozenset(each for each in selectors if each <= istio.labels.items())
    own = _istio_itself(istio, for_istio, shown)
    is_assumed = own not in shown
    if not is_assumed:
        shown.remove(own)
        if for_istio - own.selectors:
            shown.append(_Candidate(istio, for_istio))
        if not any_namespace:
            own = replace(own, gateway=own.gateway._replace(namespace=istio.namespace))
    facts = {PodFacts.of(each) for each in in_age_order if makes_pods(each)}
    labels = [one.gateway.labels for one in (own, *shown)] + [dict(each.labels) for each in facts]
    left = [
        each
        for each in selectors
        if not any(each in one.selectors for one in (own, *shown))
        and not misspelled(dict(each), labels)
        and not absent_among(dict(each), facts)
    ]
    if is_assumed:
        own = _with_labels_of(own, left)
        left = [each for each in left if each not in own.selectors]
    others = [*shown, *_implied(left, in_age_order, istio.namespace)]
    if not own.selectors:
        own, *others = sorted([*others, own], key=_for_questions)
    return _told_apart([own, *(each for each in others if each.selectors)])


def _told_apart(candidates: Sequence[_Candidate]) -> tuple[KnownGateway, ...]:
    """The gateways; one that shares name and namespace with an earlier one is named after a selector."""
    found: dict[str, KnownGateway] = {}
    for gateway, selectors in ((each.gateway, each.selectors) for each in candidates):
        if gateway.qualified_name in found:
            gateway = gateway._replace(name=min(selector_text(dict(each)) for each in selectors))
        found[gateway.qualified_name] = gateway
    return tuple(found.values())


def _for_questions(candidate: _Candidate) -> tuple[bool, bool, int]:
    """The sort key that puts first the gateway about which people ask."""
    name = candidate.gateway.name
    return not candidate.selectors, any(word in name for word in _NOT_FOR_INGRESS), -len(candidate.selectors)


def _istio_itself(istio: KnownGateway, for_istio: frozenset[Selector], shown: Sequence[_Candidate]) -> _Candidate:
    """The gateway that stands for Istio's own: one that is shown and takes its Gateways, else the assumed one."""
    fitting = [each for each in shown if each.selectors & for_istio]
    if not fitting:
        return _Candidate(istio, for_istio)
    return max(fitting, key=lambda each: (len(each.selectors & for_istio), each.gateway.namespace == istio.namespace))


def _with_labels_of(own: _Candidate, selectors: Iterable[Selector]) -> _Candidate:
    """
    Istio's own gateway with further labels, for which Gateways ask beside its own, as ``release: istio``.

    Its Pods were not read, and a selector of several labels selects no more than Pods that have its own, too.
    """
    labels, chosen = dict(own.gateway.labels), set(own.selectors)
    for each in sorted(selectors, key=len):
        if not each.isdisjoint(own.gateway.labels.items()) and all(labels.get(key, one) == one for key, one in each):
            labels.update(each)
            chosen.add(each)
    return _Candidate(own.gateway._replace(labels=labels), frozenset(chosen))


def _of_pods(resources: Iterable[Resource[Any]], selectors: Collection[Selector]) -> Iterator[_Candidate]:
    """The Pods and templates that Gateways select; templates first, since their names last."""
    found = _by_first_pair(selectors)
    for source in sorted(filter(makes_pods, resources), key=lambda each: isinstance(each.spec, PodSpec)):
        labels = pod_labels(source)
        chosen = frozenset(each for pair in labels.items() for each in found.get(pair, ()) if each <= labels.items())
        if chosen:
            yield _Candidate(KnownGateway(source.name, dict(labels), source.namespace), chosen)


def _of_services(resources: Sequence[Resource[Any]], selectors: Collection[Selector]) -> Iterator[_Candidate]:
    """The Services in front of gateways of which no Pod was read."""
    by_pair: dict[tuple[str, str], list[Selector]] = defaultdict(list)
    for each in selectors:
        for pair in each:
            by_pair[pair].append(each)
    pods: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for source in filter(makes_pods, resources):
        pods[source.namespace].append(pod_labels(source))
    for service in resources:
        if not isinstance(service.spec, ServiceSpec) or not service.spec.selector:
            continue
        labels = _as_of_chart(service.spec.selector)
        near = dict.fromkeys(each for pair in labels.items() for each in by_pair.get(pair, ()))
        if not near or any(selected(service.spec.selector, one) for one in pods[service.namespace]):
            continue
        # The Service shows some of the labels; the others are those of Gateways that have some in common with it.
        for each in sorted(near, key=len):
            if all(labels.get(key, value) == value for key, value in each):
                labels.update(each)
        chosen = frozenset(each for each in near if each <= labels.items())
        if chosen:
            yield _Candidate(KnownGateway(service.name, labels, service.namespace), chosen)


def _implied(selectors: Iterable[Selector], resources: Sequence[Resource[Any]], namespace: str) -> list[_Candidate]:
    """
    The gateways that selectors describe; selectors of one gateway by the labels of Istio's charts count as one.

    :param namespace: of a gateway for which the resources show no other one.
    """
    groups: dict[Selector, list[Selector]] = defaultdict(list)
    for each in selectors:
        groups[frozenset(_as_of_chart(dict(each)).items())].append(each)
    found = []
    for labels, group in groups.items():
        home = _home(frozenset(group), resources) or namespace
        implied = KnownGateway(_name(dict(labels)), dict(labels), home, is_implied=True)
        found.append(_Candidate(implied, frozenset(group)))
    return found


def _home(selectors: frozenset[Selector], resources: Sequence[Resource[Any]]) -> str:
    """
    The namespace of a gateway of which only selectors are known: the only one that has Secrets which its Gateways name,
    else the only one to which VirtualServices that name its Gateways are exported. Empty if there is none.
    """
    gateways = [
        each
        for each in resources
        if isinstance(each.spec, GatewaySpec) and frozenset(each.spec.selector.items()) in selectors
    ]
    servers = [server for gateway in gateways for server in gateway.spec.servers if server.tls is not None]
    credentials = {server.tls.credential_name for server in servers}
    of_secrets = {each.namespace for each in resources if each.kind == "Secret" and each.name in credentials}
    if len(of_secrets) == 1:
        return of_secrets.pop()
    names = {each.qualified_name for each in gateways}
    exported_to = [
        scopes(each) - {each.namespace}
        for each in resources
        if isinstance(each.spec, VirtualServiceSpec) and not names.isdisjoint(gateways_of(each))
    ]
    common = frozenset.intersection(*exported_to) if exported_to else frozenset()
    return next(iter(common)) if len(common) == 1 and EVERYBODY not in common else ""


def _name(labels: Mapping[str, str]) -> str:
    """A name for a gateway of which only labels are known."""
    if labels.get("istio") in ISTIO_GATEWAYS:
        return _PREFIX + labels["istio"]
    if len(labels) == 1:
        return next(iter(labels.values()))
    return labels.get("istio") or labels.get("app") or ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def _as_of_chart(labels: Mapping[str, str]) -> dict[str, str]:
    """
    Labels with the one of ``app`` and ``istio`` that is missing, as Istio's charts set both: ``app: istio-x`` and
    ``istio: x`` (manifests/charts/gateway/templates/_helpers.tpl).
    """
    app, istio = labels.get("app"), labels.get("istio")
    if istio and not app:
        return {**labels, "app": istio if istio.startswith(_PREFIX) else _PREFIX + istio}
    if app and not istio:
        return {**labels, "istio": app.removeprefix(_PREFIX)}
    return dict(labels)


def _by_first_pair(selectors: Iterable[Selector]) -> Mapping[tuple[str, str], list[Selector]]:
    found: dict[tuple[str, str], list[Selector]] = defaultdict(list)
    for each in selectors:
        found[min(each)].append(each)
    return found


def _different(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """One of several candidates of a namespace that the same Gateways select; replicas are such."""
    found: dict[tuple[str, frozenset[Selector]], _Candidate] = {}
    for each in candidates:
        found.setdefault((each.gateway.namespace, each.selectors), each)
    return list(found.values())


def short_names(gateways: Sequence[KnownGateway]) -> list[str]:
    """The names of gateways, with their namespaces where several share a name."""
    counts = Counter(each.name for each in gateways)
    return [each.name if counts[each.name] == 1 else each.qualified_name for each in gateways]


def find_gateway(name: str, gateways: Sequence[KnownGateway]) -> KnownGateway | None:
    """
    Find a gateway by its name.

    :param name: ``name``, ``namespace/name``, or the value of its label ``istio`` or ``app``.
    """
    named = [each for each in gateways if name in (each.name, each.qualified_name)]
    short = name.removeprefix(_PREFIX)
    labeled = [
        each
        for each in gateways
        if short in (each.name.removeprefix(_PREFIX), each.labels.get("istio"), each.labels.get("app"))
    ]
    return next(iter((*named, *labeled)), None)
