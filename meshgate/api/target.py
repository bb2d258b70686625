"""
The target of a request: the objects, or the subresource of one, that its address names (Kubernetes, API concepts,
"Resource URIs").

Subresources that need a container runtime or a kubelet are refused with a sentence that says why there are none here,
and what to do instead. The subresource ``scale`` is the number of replicas of an object by itself (autoscaling/v1,
Scale).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshgate.api.refusal import RefusedError, bad_request, not_found
from meshgate.api.resource_types import CORE, ResourceType, type_at
from meshgate.api.store_interface import Object, value_at

_NO_PROCESS: Final = (
    "pods here are services of meshgate's own process, without a shell and files of their own: see kubectl logs and "
    "kubectl describe"
)
_REFUSED: Final[Mapping[tuple[str, str], str]] = {
    ("Pod", "exec"): _NO_PROCESS,
    ("Pod", "attach"): _NO_PROCESS,
    ("Pod", "ephemeralcontainers"): _NO_PROCESS,
    ("Pod", "resize"): "pods here are services of meshgate's own process, whose resources are not limited",
    ("Pod", "eviction"): "pods here have no other node to go to: delete the pod",
    ("Pod", "binding"): "every pod is bound to the only node",
    ("Pod", "portforward"): "",
    ("Pod", "proxy"): "",
    ("Service", "proxy"): "a Service has no proxy here: connect to the addresses that kubectl get endpoints shows",
    ("Node", "proxy"): "the node has no kubelet: it is this machine",
    ("ServiceAccount", "token"): "this API knows the tokens of admin and reader only, each in a kubeconfig file",
    ("Namespace", "finalize"): "the gateway itself removes a namespace once it is empty",
}
"""The sentences by kind and subresource; an empty one depends on the object."""


def is_refused(type_: ResourceType, subresource: str) -> bool:
    """True if a subresource is known, and refused."""
    return (type_.kind, subresource) in _REFUSED


def refusal(type_: ResourceType, subresource: str, name: str, object_: Object | None) -> RefusedError:
    """
    The refusal of a subresource of an object.

    :param object_: None if there is no such object.
    """
    if object_ is None and type_.kind != "ServiceAccount":
        return not_found(type_, name)
    message = _REFUSED[type_.kind, subresource] or _connect(object_ or {})
    return RefusedError(405, message, type=type_, name=name)


def no_subresource(type_: ResourceType, subresource: str) -> RefusedError:
    """The refusal of a subresource that the type does not have."""
    if subresource == "scale":
        return RefusedError(404, f"{type_.qualified_name} have no replicas to scale", type=type_)
    return RefusedError(404, f"{type_.qualified_name} have no subresource {subresource[:60]}", type=type_)


def _connect(pod: Object) -> str:
    """The way to reach a Pod without forwarding."""
    address = value_at(pod, ("status", "podIP"))
    ports = [f"{address}:{port}" for port in _ports(pod)]
    where = (
        f"to {' or '.join(ports)}" if address and ports else f"to its address {address}" if address else "once it runs"
    )
    return f"pods here listen on loopback addresses of this machine, so nothing has to be forwarded: connect {where}"


def _ports(pod: Object) -> Iterator[int]:
    for container in value_at(pod, ("spec", "containers")) or ():
        for port in container.get("ports") or () if isinstance(container, Mapping) else ():
            number: Any = port.get("containerPort") if isinstance(port, Mapping) else None
            if isinstance(number, int):
                yield number


def scale_of(object_: Object) -> dict[str, Any]:
    """The Scale of an object."""
    metadata = object_["metadata"]
    labels = value_at(object_, ("spec", "selector", "matchLabels")) or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": value_at(object_, ("spec", "replicas")) or 0},
        "status": {
            "replicas": value_at(object_, ("status", "replicas")) or 0,
            "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
        },
    }


def scaled(object_: Object, scale: Any) -> dict[str, Any]:
    """
    The object with the replicas of a Scale.

    :raises RefusedError: if it is not one.
    """
    replicas = value_at(scale, ("spec", "replicas")) if isinstance(scale, Mapping) else None
    if type(replicas) is not int or not 0 <= replicas < 2**31:
        raise bad_request("spec.replicas of the Scale has to be a whole number from 0")
    metadata = dict(object_["metadata"])
    revision = value_at(scale, ("metadata", "resourceVersion"))
    if revision:
        metadata["resourceVersion"] = revision
    return {**object_, "metadata": metadata, "spec": {**object_["spec"], "replicas": replicas}}


@dataclass(frozen=True, slots=True)
class Target:
    """
    Objects of a type.

    :ivar version: the version that the client asks for.
    :ivar namespace: empty for all namespaces, and for types without.
    :ivar name: empty for all objects of the namespace.
    :ivar subresource: a view of the object, such as ``status``; empty for the object itself.
    """

    type: ResourceType
    version: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def target_of(path: tuple[str, ...]) -> Target:
    """
    Find the target of an address.

    :param path: its segments, as ``("api", "v1", "namespaces", "default", "services")``.
    :raises RefusedError: if nothing is served there.
    """
    group, version, rest = _versioned(path)
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        raise no_such_address()
    plural, name, subresource = (*rest, "", "")[:3]
    type_ = type_at(group, version, plural)
    if type_ is None or bool(namespace) > type_.namespaced or (name and type_.namespaced and not namespace):
        raise no_such_address()
    if subresource and subresource not in ("status", *type_.subresources) and not is_refused(type_, subresource):
        raise no_subresource(type_, subresource)
    return Target(type_, version, namespace, name, subresource)


def _versioned(path: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
    if len(path) > 2 and path[0] == "api":
        return CORE, path[1], path[2:]
    if len(path) > 3 and path[0] == "apis":
        return path[1], path[2], path[3:]
    raise no_such_address()


def no_such_address() -> RefusedError:
    """The refusal of an address where nothing is served; clients know its words."""
    return RefusedError(404, "the server could not find the requested resource")
