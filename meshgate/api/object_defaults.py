"""What the API adds to objects, as Kubernetes does: defaults that clients rely on, and the namespaces of the start."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from meshgate.api.objects import timestamp
from meshgate.api.resource_types import NAMESPACES, ResourceType
from meshgate.api.store_interface import Object


def given_namespace(name: str, revision: int, now: datetime) -> Object:
    """A namespace that is there without anybody having created it."""
    metadata = {
        "name": name,
        "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "resourceVersion": str(revision),
        "creationTimestamp": timestamp(now),
        "labels": {"kubernetes.io/metadata.name": name},
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata,
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def completed(type_: ResourceType, object_: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object with the defaults that Kubernetes gives to its own kinds, and clients rely on."""
    if type_ is NAMESPACES:
        given = object_["metadata"].get("labels")
        if given is not None and not isinstance(given, Mapping):
            return object_  # which is refused
        labels = {**(given or {}), "kubernetes.io/metadata.name": object_["metadata"]["name"]}
        return {**object_, "metadata": {**object_["metadata"], "labels": labels}, "status": {"phase": "Active"}}
    spec = object_.get("spec")
    if type_.kind == "Deployment" and isinstance(spec, Mapping):
        return {**object_, "spec": {"replicas": 1, "progressDeadlineSeconds": 600, **spec}}
    if type_.kind == "Service" and isinstance(spec, Mapping) and isinstance(spec.get("ports") or [], list):
        ports = [
            {"protocol": "TCP", "targetPort": port.get("port"), **port} if isinstance(port, Mapping) else port
            for port in spec.get("ports") or ()
        ]
        return {**object_, "spec": {"type": "ClusterIP", "sessionAffinity": "None", **spec, "ports": ports}}
    if type_.kind == "Secret":
        return {"type": "Opaque", **_with_string_data(object_)}
    return object_


def _with_string_data(secret: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Secret whose ``stringData`` has become ``data``, unless one of them has a fault, for which it is refused."""
    given, data = secret.get("stringData"), secret.get("data") or {}
    if not isinstance(given, Mapping) or not isinstance(data, Mapping):
        return secret
    if not all(isinstance(each, str) for each in given.values()):
        return secret
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in given.items()}
    return {**{key: value for key, value in secret.items() if key != "stringData"}, "data": {**data, **encoded}}


def is_same(before: Object, after: Object) -> bool:
    """True if two objects differ in nothing but what the server gives them."""
    ignored = ("uid", "creationTimestamp", "resourceVersion", "generation")
    if {key: value for key, value in before.items() if key != "metadata"} != {
        key: value for key, value in after.items() if key != "metadata"
    }:
        return False
    first, second = (
        {key: value for key, value in each["metadata"].items() if key not in ignored} for each in (before, after)
    )
    return first == second
