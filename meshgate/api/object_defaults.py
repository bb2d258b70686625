"""Additions of the API to objects, as of Kubernetes: defaults that clients rely on, and the namespaces of the start."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

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
        return {**object_, "spec": {**_DEPLOYMENT, **spec, "template": _template(spec.get("template"))}}
    if type_.kind == "ReplicaSet" and isinstance(spec, Mapping):
        return {**object_, "spec": {"replicas": 1, **spec, "template": _template(spec.get("template"))}}
    if type_.kind == "Pod" and isinstance(spec, Mapping):
        return {**object_, "spec": _pod_spec(spec)}
    if type_.kind == "Service" and isinstance(spec, Mapping) and isinstance(spec.get("ports") or [], list):
        ports = [
            {"protocol": "TCP", "targetPort": port.get("port"), **port} if isinstance(port, Mapping) else port
            for port in spec.get("ports") or ()
        ]
        return {**object_, "spec": {"type": "ClusterIP", "sessionAffinity": "None", **spec, "ports": ports}}
    if type_.kind == "EndpointSlice" and isinstance(object_.get("ports"), list):
        # kubectl describe reads the name of a port without a look if there is one.
        given = object_["ports"]
        ports = [{"name": "", "protocol": "TCP", **each} if isinstance(each, Mapping) else each for each in given]
        return {**object_, "ports": ports}
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


_DEPLOYMENT: Final[Mapping[str, Any]] = {
    "replicas": 1,
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
    "revisionHistoryLimit": 10,
    "progressDeadlineSeconds": 600,
}
_POD: Final[Mapping[str, Any]] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER: Final[Mapping[str, Any]] = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


def _template(template: Any) -> Any:
    """A template of Pods with the defaults of their spec."""
    if isinstance(template, Mapping) and isinstance(template.get("spec"), Mapping):
        return {**template, "spec": _pod_spec(template["spec"])}
    return template


def _pod_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    containers = spec.get("containers")
    completed_ones = [_container(each) for each in containers] if isinstance(containers, list) else containers
    return {**_POD, **spec, "containers": completed_ones}


def _container(container: Any) -> Any:
    if not isinstance(container, Mapping):
        return container
    image = str(container.get("image", "")).partition("@")[0].rpartition("/")[2]
    latest = ":" not in image or image.endswith(":latest")
    found = {**_CONTAINER, "imagePullPolicy": "Always" if latest else "IfNotPresent", **container}
    if isinstance(ports := container.get("ports"), list):
        found["ports"] = [{"protocol": "TCP", **each} if isinstance(each, Mapping) else each for each in ports]
    if isinstance(env := container.get("env"), list):
        found["env"] = [_variable(each) for each in env]
    return found


def _variable(variable: Any) -> Any:
    """A variable, of which a reference to a field names the version of its fields."""
    source = variable.get("valueFrom") if isinstance(variable, Mapping) else None
    field = source.get("fieldRef") if isinstance(source, Mapping) else None
    if not isinstance(source, Mapping) or not isinstance(field, Mapping):
        return variable
    return {**variable, "valueFrom": {**source, "fieldRef": {"apiVersion": "v1", **field}}}


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
