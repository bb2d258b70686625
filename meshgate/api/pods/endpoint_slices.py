"""EndpointSlices: the addresses of the ready Pods that a Service selects (Kubernetes, pkg/controller/endpointslice)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshgate.api.pods.pod_objects import containers_of, owner
from meshgate.api.resource_types import value_at
from meshgate.api.store_interface import Object

SERVICE_LABEL: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"

Listening = Mapping[str, Mapping[int, int]]
"""The ports on which Pods listen, by the Pod's uid and the port that was asked for."""


def endpoint_slice(service: Object, pods: Iterable[Object], listening: Listening) -> dict[str, Any] | None:
    """
    The EndpointSlice of a Service; None for a Service without a selector, whose endpoints somebody else lists.

    :param pods: the Pods of its namespace.
    """
    selector = value_at(service, ("spec", "selector"))
    if not isinstance(selector, Mapping) or not selector:
        return None
    selected = [each for each in pods if _selects(selector, each)]
    ports = [each for each in value_at(service, ("spec", "ports")) or () if isinstance(each, Mapping)]
    metadata = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{metadata['name']}-pods",
            "namespace": metadata["namespace"],
            "labels": {SERVICE_LABEL: metadata["name"], MANAGED_BY: "meshgate"},
            "ownerReferences": [owner(service)],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(each) for each in selected],
        "ports": [_port(port, selected, listening) for port in ports],
    }


def _selects(selector: Mapping[str, str], pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items()) and bool(value_at(pod, ("status", "podIP")))


def _endpoint(pod: Object) -> dict[str, Any]:
    metadata = pod["metadata"]
    ready = is_ready(pod)
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }


def is_ready(pod: Object) -> bool:
    """True if a Pod is ready."""
    conditions = value_at(pod, ("status", "conditions")) or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _port(port: Mapping[str, Any], pods: list[Object], listening: Listening) -> dict[str, Any]:
    target = port.get("targetPort", port.get("port"))
    found: dict[str, Any] = {"protocol": port.get("protocol", "TCP"), "port": port.get("port")}
    if port.get("name"):
        found["name"] = port["name"]
    for pod in pods:
        number = _number(target, pod, listening)
        if number is not None:
            found["port"] = number
            break
    return found


def _number(target: Any, pod: Object, listening: Listening) -> int | None:
    """The port that a Pod listens on for a target port, which is a number or the name of a container's port."""
    if isinstance(target, str):
        ports = [each for container in containers_of(pod) for each in container.get("ports") or ()]
        target = next((each.get("containerPort") for each in ports if each.get("name") == target), None)
    if not isinstance(target, int):
        return None
    return listening.get(pod["metadata"]["uid"], {}).get(target, target)
