"""
The selection of Pods and other workloads by their labels, and the visibility of resources by ``exportTo``.

Endpoints are mostly Pods, whose addresses only a cluster knows. Their templates, in Deployments and other documents,
say which labels they have, and so whether a Service, a subset or a Gateway selects any. Kubernetes adds labels to the
Pods that it makes, and to endpoints those of their Node; these may have any value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from meshgate.resources.kinds.pod import PodSource, PodSpec, containers, named_ports, pod_labels
from meshgate.resources.kinds.service import ServicePort, ServiceSpec
from meshgate.resources.kinds.shared_fields import EVERYBODY, OWN_NAMESPACE
from meshgate.resources.resource import Resource

_TOPOLOGY: Final = "topology."
"""The beginning of the labels that an endpoint gets from the node on which it runs."""

_POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
_OF_KUBERNETES: Final = frozenset(
    {_POD_NAME, "apps.kubernetes.io/pod-index", "controller-revision-hash", "pod-template-hash"}
)
"""Labels that Kubernetes gives to the Pods that it makes of a template."""


def selected(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """True if the labels have every pair of the selector."""
    return all(labels.get(key) == value for key, value in selector.items())


def may_be_selected(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """
    True if an endpoint with some labels may have every pair of a selector.

    Topology labels come from the endpoint's Node, which is not read, so any value is possible but the empty one.
    """
    return all(
        labels.get(key) == value or (key.startswith(_TOPOLOGY) and value != "" and key not in labels)
        for key, value in selector.items()
    )


def may_select(selector: Mapping[str, str], source: PodSource) -> bool:
    """True if a Pod, or one that a template makes, may have every pair of a selector."""
    if not isinstance(source.spec, PodSpec):
        selector = {key: value for key, value in selector.items() if not _may_add(source, key, value)}
    return may_be_selected(selector, pod_labels(source))


def _may_add(source: PodSource, key: str, value: str) -> bool:
    """True if Kubernetes may give a label to the Pods of a template; a StatefulSet numbers its Pods."""
    return key in _OF_KUBERNETES and (key != _POD_NAME or value.rpartition("-")[0] == source.name)


def selector_text(selector: Mapping[str, str]) -> str:
    """A selector as ``kubectl`` takes it."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))


def in_cluster_only(pods: Sequence[PodSource]) -> str:
    """The reason why there are no endpoints, if only the addresses of Pods are missing."""
    source = f"{'' if pods[0].kind == 'Pod' else 'the Pods of '}{pods[0].key} ({pods[0].location()})"
    return f"only a cluster knows the addresses of {source}"


def have_port(pods: Sequence[PodSource], port: ServicePort) -> bool:
    """
    True if some of the Pods may have the target port of a Service. A name has to be that of a container's port, unless
    no ports are written at all.
    """
    target = port.target_port
    if not isinstance(target, str):
        return True
    return any(target in named_ports(each) or not any(one.ports for one in containers(each)) for each in pods)


class PodIndex:
    """Pods and templates of Pods, found by their labels without a look at each of them."""

    def __init__(self) -> None:
        # By namespace, key and value of each of the labels of their Pods; and by namespace and name.
        self._by_label: dict[tuple[str, str, str], list[PodSource]] = defaultdict(list)
        self._by_name: dict[tuple[str, str], list[PodSource]] = defaultdict(list)

    def add(self, source: Resource[Any]) -> None:
        """Add a Pod, or a resource that makes Pods."""
        self._by_name[source.namespace, source.name].append(source)
        for key, value in pod_labels(source).items():
            self._by_label[source.namespace, key, value].append(source)

    def find(self, namespace: str, selector: Mapping[str, str]) -> tuple[PodSource, ...]:
        """The Pods that a selector selects, and the resources that may make such Pods; none for an empty selector."""
        pairs = [pair for pair in selector.items() if pair[0] not in _OF_KUBERNETES]
        if pairs:
            fewest = min((self._by_label.get((namespace, *pair), []) for pair in pairs), key=len)
        else:
            fewest = self._by_name.get((namespace, selector.get(_POD_NAME, "").rpartition("-")[0]), [])
        return tuple(each for each in fewest if may_select(selector, each))


EXPORT_TO_ANNOTATION: Final = "networking.istio.io/exportTo"
"""The annotation that a Service has in place of ``exportTo``, its words separated by commas."""


def export_to(resource: Resource[Any]) -> Sequence[str]:
    """The words of a resource's ``exportTo``; if there are none, everybody may see it."""
    if isinstance(resource.spec, ServiceSpec):
        words_text = resource.annotations.get(EXPORT_TO_ANNOTATION, "")
        return tuple(filter(None, map(str.strip, words_text.split(","))))
    words: Sequence[str] = resource.spec.export_to
    return words


def scopes(resource: Resource[Any]) -> frozenset[str]:
    """The namespaces that may see a resource; ``*`` alone if all may."""
    words = export_to(resource)
    if not words or EVERYBODY in words:
        return frozenset([EVERYBODY])
    return frozenset(resource.namespace if word == OWN_NAMESPACE else word for word in words)


def visible(resource: Resource[Any], namespace: str) -> bool:
    """True if a resource is visible from a namespace."""
    seen_by = scopes(resource)
    return EVERYBODY in seen_by or namespace in seen_by
