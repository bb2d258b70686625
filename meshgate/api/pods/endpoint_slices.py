"""EndpointSlices: the addresses of the ready Pods that a Service selects (Kubernetes, pkg/controller/endpointslice)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshgate.api.pods.pod_objects import containers_of, owner
from meshgate.api.store_interface import Object, value_at

SERVICE_LABEL: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"

Listening = Mapping[str, Mapping[int, int]]
"""The ports on which Pods listen, by the Pod's uid and the port that was asked for."""


def endpoint_slices(service: Object, pods: Iterable[Object], listening: Listening) -> list[dict[str, Any]]:
    """
    The EndpointSlices of a Service, one for all Pods that listen on the same ports; none for a Service without a
    selector, whose endpoints somebody else lists.

    :param pods: the Pods of its namespace.
    """
    selector = value_at(service, ("spec", "selector"))
    if not isinstance(selector, Mapping) or not selector:
        return []
    ports = [each for each in value_at(service, ("spec", "ports")) or () if isinstance(each, Mapping)]
    groups: dict[tuple[int | None, ...], list[Object]] = {}
    for pod in pods:
        if _selects(selector, pod):
            numbers = tuple(_number(each.get("targetPort", each.get("port")), pod, listening) for each in ports)
            groups.setdefault(numbers, []).append(pod)
    # The groups in the order of their ports, so that an unchanged one keeps its name.
    ordered = sorted(groups.items(), key=lambda group: [number or 0 for number in group[0]]) or [
        ((None,) * len(ports), [])
    ]
    return [_slice(service, index, ports, *group) for index, group in enumerate(ordered)]


def _slice(
    service: Object, index: int, ports: Iterable[Mapping[str, Any]], numbers: tuple[int | None, ...], pods: list[Object]
) -> dict[str, Any]:
    metadata = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{metadata['name']}-pods{f'-{index + 1}' if index else ''}",
            "namespace": metadata["namespace"],
            "labels": {SERVICE_LABEL: metadata["name"], MANAGED_BY: "meshgate"},
            "ownerReferences": [owner(service)],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(each) for each in pods],
        "ports": [_port(port, number) for port, number in zip(ports, numbers, strict=True)],
    }


def endpoints_of(service: Object, slices: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The Endpoints of a Service, which older clients read instead of its EndpointSlices."""
    metadata = service["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "ownerReferences": [owner(service)],
        },
        "subsets": [_subset(each) for each in slices if each["endpoints"]],
    }


def _subset(slice_: Mapping[str, Any]) -> dict[str, Any]:
    subset: dict[str, Any] = {"ports": slice_["ports"]}
    for key, ready in (("addresses", True), ("notReadyAddresses", False)):
        found = [each for each in slice_["endpoints"] if each["conditions"]["ready"] is ready]
        if found:
            subset[key] = [
                {"ip": each["addresses"][0], "nodeName": each["nodeName"], "targetRef": each["targetRef"]}
                for each in found
            ]
    return subset


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


def _port(port: Mapping[str, Any], number: int | None) -> dict[str, Any]:
    # Also where it is empty: kubectl describe reads the name without a look if there is one.
    name = str(port.get("name") or "")
    return {"name": name, "protocol": port.get("protocol", "TCP"), "port": number or port.get("port")}


def _number(target: Any, pod: Object, listening: Listening) -> int | None:
    """The port that a Pod listens on for a target port, which is a number or the name of a container's port."""
    if isinstance(target, str):
        ports = [each for container in containers_of(pod) for each in container.get("ports") or ()]
        target = next((each.get("containerPort") for each in ports if each.get("name") == target), None)
    if not isinstance(target, int):
        return None
    return listening.get(pod["metadata"]["uid"], {}).get(target, target)
