"""Subresources that need a container runtime or a kubelet: why there are none here, and what to do instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshgate.api.refusal import RefusedError, not_found
from meshgate.api.resource_types import ResourceType, value_at
from meshgate.api.store_interface import Object

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
