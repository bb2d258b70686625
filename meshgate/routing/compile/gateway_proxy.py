"""The gateway as Istio sees it: a pod with labels and with Services in front of it. Gateways select it, or do not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.health_check import HealthCheckForm
from meshgate.resources.kinds.pod import PodSource, PodSpec, containers, named_ports, pod_labels
from meshgate.resources.kinds.service import ServicePort, ServiceSpec, TransportProtocol
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource
from meshgate.resources.wording import count_of
from meshgate.routing.compile.selection import selected
from meshgate.routing.proxy_headers import NO_HEADERS, HeaderDefaults

NO_TRANSLATION_LABEL: Final = "experimental.istio.io/disable-gateway-port-translation"
"""A Service with this label translates no port."""

ISTIO_LABELS: Final[Mapping[str, str]] = {"app": "istio-ingressgateway", "istio": "ingressgateway"}
"""The labels of the gateway that Istio installs; ``istioctl analyze`` assumes that its pod exists."""

ISTIO_GATEWAYS: Final = ("ingressgateway", "egressgateway", "eastwestgateway")
"""The values of the label ``istio`` of the gateways that Istio's own charts install."""

_LIKE: Final = 0.7
_VERY_LIKE: Final = 0.85


class KnownGateway(NamedTuple):
    """
    A gateway that the resources show or imply.

    :ivar name: of its Deployment, Pod or Service; else made of its labels.
    :ivar labels: of its pod.
    :ivar namespace: of its pod.
    :ivar is_implied: only the selectors of Gateways speak of it.
    """

    name: str
    labels: Mapping[str, str]
    namespace: str
    is_implied: bool = False

    @property
    def qualified_name(self) -> str:
        """The gateway as ``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    The gateway as Istio sees it: a pod that Gateways select by its labels.

    :ivar labels: the pod's labels.
    :ivar namespace: the pod's namespace.
    :ivar domain_suffix: the cluster domain.
    :ivar extended: the extended semantics: what Istio ignores on a gateway counts.
    :ivar in_cluster: the configuration is for a gateway in a cluster, where the Service exists that Istio installs.
    :ivar ipv6: the machine has IPv6, so servers without a bind serve both families.
    :ivar others: other gateways, to which Gateways belong that do not select this one.
    :ivar locality: where the gateway is, as ``region/zone/subzone``; empty if its labels tell, or if it is unknown.
    :ivar node: the name of its node, or empty.
    :ivar headers: the settings about PROXY headers.
    :ivar checks: the health checks of its settings, by host or wildcard.
    """

    labels: Mapping[str, str]
    namespace: str
    domain_suffix: str = "cluster.local"
    extended: bool = False
    in_cluster: bool = False
    ipv6: bool = True
    others: tuple[KnownGateway, ...] = ()
    locality: str = ""
    node: str = ""
    headers: HeaderDefaults = NO_HEADERS
    checks: Mapping[str, tuple[HealthCheckForm, ...]] = field(default_factory=dict)


class PodFacts(NamedTuple):
    """
    Pods, as far as Gateways are concerned.

    :ivar labels: the labels of the Pods, sorted.
    :ivar by_template: True if only a template of the Pods was read.
    :ivar is_proxy: True if nothing runs in them but Istio's proxy.
    """

    labels: tuple[tuple[str, str], ...]
    by_template: bool
    is_proxy: bool

    @classmethod
    def of(cls, pod: PodSource) -> PodFacts:
        """The facts of a Pod or a template."""
        is_proxy = [each.name for each in containers(pod)] == ["istio-proxy"]
        return cls(tuple(sorted(pod_labels(pod).items())), not isinstance(pod.spec, PodSpec), is_proxy)


class Translation(NamedTuple):
    """
    The way from a port that clients connect to, through a Service, to the port on which the gateway listens.

    :ivar client_port: the port of the Service, or its node port.
    :ivar port: the port of the gateway's listener.
    :ivar service: the Service with its location, as text for people.
    :ivar by_node: clients connect to the port of a Node.
    """

    client_port: int
    port: int
    service: str
    by_node: bool = False

    def __str__(self) -> str:
        what = "node port" if self.by_node else "port"
        return f"{what} {self.client_port} of Service {self.service} leads to port {self.port} of the gateway"


@dataclass(frozen=True, slots=True)
class GatewayPods:
    """
    Resources beside a Gateway that its servers depend on.

    :ivar services: the Services of the gateway's own pod; the oldest first.
    :ivar pods: all different Pods and templates of Pods; a Gateway may select one of them in place of this gateway.
    :ivar ports: the named ports of the gateway's own pod, as far as the resources show it.
    """

    services: tuple[Resource[ServiceSpec], ...] = ()
    pods: tuple[PodFacts, ...] = ()
    ports: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, services: Iterable[Resource[ServiceSpec]], pods: Iterable[PodSource], proxy: Proxy) -> GatewayPods:
        """Choose from all Services and Pods."""
        own = tuple(each for each in sorted(services, key=Resource.order) if _is_in_front(each, proxy))
        every = sorted(pods, key=Resource.order)
        ports: dict[str, int] = {}
        for pod in every if own else ():
            if pod.namespace == proxy.namespace and selected(pod_labels(pod), proxy.labels):
                ports = {**named_ports(pod), **ports}
        return cls(own, tuple(sorted(set(map(PodFacts.of, every)))), tuple(sorted(ports.items())))

    def listening_port(self, number: int) -> int:
        """
        The port to listen on for a server's port: the target port of a Service of the gateway's own pod with that port,
        else the port itself. Of several Services the first counts (pilot/pkg/model/gateway.go, resolvePorts).
        """
        return next(
            (
                target
                for service, _, port, target in self._targets()
                if port.port == number and NO_TRANSLATION_LABEL not in service.labels
            ),
            number,
        )

    def translations(self) -> tuple[Translation, ...]:
        """
        The ports of the Services of the gateway's own pod, each with the port of a listener to which it leads.

        Of several for one port the first counts. Node ports come last.
        """
        found: dict[int, Translation] = {}
        for service, index, port, target in self._targets():
            found.setdefault(port.port, _translation(port.port, target, service, f"spec.ports[{index}].port"))
        for service, index, port, target in self._targets():
            if port.node_port:
                by_node = _translation(port.node_port, target, service, f"spec.ports[{index}].nodePort", by_node=True)
                found.setdefault(port.node_port, by_node)
        return tuple(found.values())

    def _targets(self) -> Iterator[tuple[Resource[ServiceSpec], int, ServicePort, int]]:
        """The ports of Services that lead to the gateway: the Service, the port's index, the port and its target."""
        for service in self.services:
            for index, port in enumerate(service.spec.ports):
                target = port.target_port or port.port
                number = dict(self.ports).get(target) if isinstance(target, str) else target
                if number is not None and port.protocol is TransportProtocol.TCP:
                    yield service, index, port, number


def _translation(
    client_port: int, port: int, service: Resource[ServiceSpec], path: str, *, by_node: bool = False
) -> Translation:
    return Translation(client_port, port, f"{service.qualified_name} ({service.location(path)})", by_node)


def _is_in_front(service: Resource[ServiceSpec], proxy: Proxy) -> bool:
    """True for a Service of the gateway's own pod."""
    chooses = service.spec.selector and selected(service.spec.selector, proxy.labels)
    return bool(chooses) and service.namespace == proxy.namespace


def unselected(gateways: Iterable[Gateway], proxy: Proxy, pods: Collection[PodFacts]) -> Iterator[Problem]:
    """One problem for each Gateway that does not select this gateway."""
    for gateway in gateways:
        if not selected(gateway.spec.selector, proxy.labels):
            yield not_selected(gateway, proxy, pods)


def not_selected(gateway: Gateway, proxy: Proxy, pods: Collection[PodFacts]) -> Problem:
    """
    The problem of a Gateway that does not select this gateway.

    It is a warning if the selector looks misspelled, and an error if it selects none of the Pods of gateways that were
    read; otherwise the Gateway is for a gateway elsewhere.
    """
    selector = gateway.spec.selector
    wanted, have = _text(selector), _text(proxy.labels) or "none"
    other = next((each for each in proxy.others if selected(selector, each.labels)), None)
    if other is not None:
        return gateway.problem(
            Severity.INFO,
            "MG2001",
            f"for the gateway {other.name}, and not for this one: the selector is {wanted}, and this gateway has the "
            f"labels {have}",
            path="spec.selector",
            hint=f"--gateway {other.name} shows its routes",
        )
    of_pods = [dict(pod.labels) for pod in pods]
    elsewhere = any(selected(selector, labels) for labels in (ISTIO_LABELS, *of_pods))
    meant = () if elsewhere else misspelled(selector, [proxy.labels, *of_pods])
    absent = not elsewhere and absent_among(selector, pods)
    if meant or absent:
        return gateway.problem(
            Severity.ERROR if absent else Severity.WARNING,
            "MG2040",
            f"selects nothing: neither this gateway ({have}) nor "
            + (f"any Pod is labeled {wanted}" if pods else f"Istio's own is labeled {wanted}, and there are no Pods"),
            path="spec.selector",
            hint=f"did you mean {', '.join(meant)}?" if meant else "a selector has labels of the gateway's pod",
        )
    return gateway.problem(
        Severity.INFO,
        "MG2001",
        f"not for this gateway: the selector is {wanted}, and the labels of this gateway are {have}",
        path="spec.selector",
        hint="set the labels of this gateway in the settings, under gateway.labels",
    )


def implied_only(gateway: Gateway, more: int) -> Problem:
    """
    The problem of a Gateway whose selector nothing in the resources has; the workload may just not be among them.

    :param more: the number of other Gateways for the same workload.
    """
    mixed_up = [
        f"{right_key}: {right}"
        for key, value in gateway.spec.selector.items()
        for right_key, right in ISTIO_LABELS.items()
        if value == right and key != right_key
    ]
    same = f", and so {'is' if more == 1 else 'are'} {count_of(more, 'more Gateway')}" if more else ""
    return gateway.problem(
        Severity.INFO,
        "MG2040",
        f"no workload that was read is labeled {_text(gateway.spec.selector)}; the Gateway is judged as if one were"
        + same,
        path="spec.selector",
        hint=f"did you mean {', '.join(mixed_up)}?" if mixed_up else "a selector has labels of the gateway's pod",
    )


def misspelled(selector: Mapping[str, str], labels: Iterable[Mapping[str, str]]) -> Sequence[str]:
    """
    The labels that a selector probably means, as ``key: value``; none if it is no misspelling of any.

    :param labels: of gateways and Pods that exist; those of the gateways that Istio installs are added.
    """
    istio = [{"istio": each, "app": f"istio-{each}"} for each in ISTIO_GATEWAYS]
    for key, value in selector.items():
        values = {each[key]: None for each in (*istio, *labels) if key in each}
        if value not in values:
            near = [right for right in values if _is_misspelling(value, right)]
            if near:
                return [f"{key}: {difflib.get_close_matches(value, near, 1, 0)[0]}"]
    return ()


def _is_misspelling(value: str, right: str) -> bool:
    """
    True if a label's value is probably meant to be another one. A value with another word in it is none: a gateway is
    often named after a public one, as ``ingressgateway-internal``, and ``egressgateway`` is not ``ingressgateway``.
    """
    plain, right_plain = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (value, right))
    if plain == right_plain:
        return True
    other_direction = any((word in plain) != (word in right_plain) for word in ("egr", "east", "west"))
    if right_plain in plain or plain in right_plain or other_direction or re.search(r"\d", value) or "gw" in plain:
        return False
    cutoff = _VERY_LIKE if re.search(r"[^A-Za-z]", value) else _LIKE
    return difflib.SequenceMatcher(None, plain, right_plain).ratio() >= cutoff


def absent_among(selector: Mapping[str, str], pods: Iterable[PodFacts]) -> bool:
    """
    True if a gateway that a selector does not select would be among the Pods that were read: some of them are those of
    gateways, or have a label with a value of the selector. Templates do not count: there may be others elsewhere.
    """
    wanted = set(selector.values())
    return any(
        pod.is_proxy or "istio" in dict(pod.labels) or not wanted.isdisjoint(dict(pod.labels).values())
        for pod in pods
        if not pod.by_template
    )


def _text(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
