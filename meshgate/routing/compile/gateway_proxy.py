"""The gateway as Istio sees it: a pod with labels and with Services in front of it. Gateways select it, or do not."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource
from meshgate.routing.compile.catalog import selected

NO_TRANSLATION_LABEL = "experimental.istio.io/disable-gateway-port-translation"
"""A Service with this label translates no port."""

ISTIO_LABELS: Mapping[str, str] = {"istio": "ingressgateway"}
"""Labels of the gateway that Istio installs; ``istioctl analyze`` assumes that its pod exists."""


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
    """

    labels: Mapping[str, str]
    namespace: str
    domain_suffix: str = "cluster.local"
    extended: bool = False
    in_cluster: bool = False
    ipv6: bool = True


@dataclass(frozen=True, slots=True)
class GatewayPods:
    """
    Resources beside a Gateway that its servers depend on.

    :ivar services: the Services of the gateway's own pod, which translate ports; the oldest first.
    :ivar pods: all Pods; a Gateway may select one of them in place of this gateway.
    """

    services: tuple[Resource[ServiceSpec], ...] = ()
    pods: tuple[Resource[Any], ...] = ()

    @classmethod
    def of(cls, services: Iterable[Resource[ServiceSpec]], pods: Iterable[Resource[Any]], proxy: Proxy) -> GatewayPods:
        """Choose from all Services and Pods."""
        own = (each for each in sorted(services, key=Resource.order) if _translates(each, proxy))
        return cls(tuple(own), tuple(sorted(pods, key=Resource.order)))


def _translates(service: Resource[ServiceSpec], proxy: Proxy) -> bool:
    """True for a Service of the gateway's own pod, unless its label forbids the translation of ports."""
    chooses = service.spec.selector and selected(service.spec.selector, proxy.labels)
    return bool(chooses) and service.namespace == proxy.namespace and NO_TRANSLATION_LABEL not in service.labels


def listening_port(number: int, services: Iterable[Resource[ServiceSpec]]) -> int:
    """
    The port to listen on for a server's port: the targetPort of a Service of the gateway's own pod with that port, else
    the port itself. Of several Services the first counts (pilot/pkg/model/gateway.go, resolvePorts).
    """
    for service in services:
        for port in service.spec.ports:
            if port.port == number and isinstance(port.target_port, int):
                return port.target_port or number
    return number


def unselected(gateways: Iterable[Gateway], proxy: Proxy, pods: Collection[Resource[Any]]) -> Iterator[Problem]:
    """One problem for each Gateway that does not select this gateway."""
    for gateway in gateways:
        if not selected(gateway.spec.selector, proxy.labels):
            yield not_selected(gateway, proxy, pods)


def not_selected(gateway: Gateway, proxy: Proxy, pods: Collection[Resource[Any]]) -> Problem:
    """The problem of a Gateway that does not select this gateway."""
    selector = gateway.spec.selector
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
    have = ", ".join(f"{key}={value}" for key, value in sorted(proxy.labels.items())) or "none"
    others = (ISTIO_LABELS, *(pod.labels for pod in pods))
    if not any(selected(selector, labels) for labels in others):
        near = [
            f"{key}: {ours}"
            for key, value in selector.items()
            if (ours := proxy.labels.get(key)) and difflib.get_close_matches(value, [ours], 1, 0.7)
        ]
        return gateway.problem(
            Severity.ERROR if pods else Severity.WARNING,
            "MG2040",
            f"selects nothing: neither this gateway ({have}) nor "
            + (f"any Pod is labeled {wanted}" if pods else f"Istio's own is labeled {wanted}, and there are no Pods"),
            path="spec.selector",
            hint=f"did you mean {', '.join(near)}?" if near else "a selector has labels of the gateway's pod",
        )
    return gateway.problem(
        Severity.INFO,
        "MG2001",
        f"not for this gateway: the selector is {wanted}, and the labels of this gateway are {have}",
        path="spec.selector",
        hint="set the labels of this gateway in the settings, under gateway.labels",
    )
