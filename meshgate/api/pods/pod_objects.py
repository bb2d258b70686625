"""
The objects of workloads: pure functions from a Deployment to its ReplicaSet and Pods, and to what a container sees.

A Deployment makes one ReplicaSet for each template, named by a hash of the template, and the ReplicaSet makes Pods
(Kubernetes, pkg/controller/deployment and replicaset). The names and addresses of Pods follow from their ReplicaSet and
a number, so a restart of the gateway gives the same ones again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from meshgate.api.pods.pod_image import ContainerError
from meshgate.api.resource_types import value_at
from meshgate.api.store_interface import Object

HASH_LABEL: Final = "pod-template-hash"

NODE: Final = "minikube"
"""The name of the node: there is one, and examples call it so."""

MOST_REPLICAS: Final = 50
"""The number of pods that one Deployment may have here."""

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names in Kubernetes, of which no word can be made."""

Lookup = Callable[[str, str], Object | None]
"""The object of a kind (``Secret`` or ``ConfigMap``) and a name in the namespace of a Pod; None if there is none."""


def template_of(deployment: Object) -> Mapping[str, Any]:
    """The template of the Pods of a Deployment."""
    template = value_at(deployment, ("spec", "template"))
    return template if isinstance(template, Mapping) else {}


def replicas_of(deployment: Object) -> int:
    """The number of Pods that a Deployment asks for."""
    number = value_at(deployment, ("spec", "replicas"))
    return min(number, MOST_REPLICAS) if isinstance(number, int) and number >= 0 else 1


def template_hash(template: Mapping[str, Any]) -> str:
    """The hash of a template, in ten letters."""
    return _letters(json.dumps(template, sort_keys=True), 10)


def replica_set(deployment: Object) -> dict[str, Any]:
    """The ReplicaSet of the present template of a Deployment, without a status."""
    template, metadata = template_of(deployment), deployment["metadata"]
    found = template_hash(template)
    labels = {**(value_at(template, ("metadata", "labels")) or {}), HASH_LABEL: found}
    selector = {**(value_at(deployment, ("spec", "selector", "matchLabels")) or {}), HASH_LABEL: found}
    full = {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{found}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner(deployment)],
        },
        "spec": {"replicas": replicas_of(deployment), "selector": {"matchLabels": selector}, "template": full},
    }


def owner(object_: Object) -> dict[str, Any]:
    """The reference of an object to the one that makes it."""
    metadata = object_["metadata"]
    return {
        "apiVersion": object_["apiVersion"],
        "kind": object_["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned_by(object_: Object, uid: str) -> bool:
    """True if the object is made by the one with a uid."""
    return any(each.get("uid") == uid for each in object_["metadata"].get("ownerReferences") or ())


def pod(set_: Object, number: int) -> dict[str, Any]:
    """The Pod of a ReplicaSet with a number, without a status."""
    metadata, template = set_["metadata"], set_["spec"]["template"]
    suffix = _letters(f"{metadata['namespace']}/{metadata['name']}/{number}", 5)
    name = f"{metadata['name']}-{suffix}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **{key: value for key, value in template["metadata"].items() if key in ("labels", "annotations")},
            "name": name,
            "namespace": metadata["namespace"],
            "ownerReferences": [owner(set_)],
        },
        "spec": {"restartPolicy": "Always", "nodeName": NODE, **(template.get("spec") or {})},
    }


def address_of(namespace: str, name: str, attempt: int = 0) -> str:
    """
    The loopback address of a Pod, within 127.64.0.0/10.

    :param attempt: another number gives another address.
    """
    digest = hashlib.sha256(f"{namespace}/{name}/{attempt}".encode()).digest()
    return f"127.{64 + digest[0] % 64}.{digest[1]}.{1 + digest[2] % 254}"


def _letters(text: str, length: int) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:length])


def containers_of(pod_: Object) -> Sequence[Mapping[str, Any]]:
    """The containers of a Pod."""
    found = value_at(pod_, ("spec", "containers"))
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def environment(pod_: Object, container: Mapping[str, Any], address: str, lookup: Lookup) -> dict[str, str]:
    """
    The variables of a container.

    :param address: the IP address of the Pod.
    :raises ContainerError: if a variable comes from something that is not there.
    """
    found: dict[str, str] = {}
    for variable in container.get("env") or ():
        if isinstance(variable, Mapping) and isinstance(variable.get("name"), str):
            found[variable["name"]] = _value(pod_, variable, address, lookup)
    return found


def _value(pod_: Object, variable: Mapping[str, Any], address: str, lookup: Lookup) -> str:
    source = variable.get("valueFrom")
    if not isinstance(source, Mapping):
        return str(variable.get("value", ""))
    if isinstance(field := source.get("fieldRef"), Mapping):
        return _field(pod_, str(field.get("fieldPath", "")), address)
    for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if isinstance(reference := source.get(key), Mapping):
            data = content_of(kind, str(reference.get("name", "")), lookup)
            entry = str(reference.get("key", ""))
            if entry not in data:
                raise ContainerError(f"the {kind} {reference.get('name')} has no entry {entry}")
            return data[entry].decode("utf-8", "replace")
    raise ContainerError(f"the variable {variable['name']} comes from something that is not served here")


def _field(pod_: Object, path: str, address: str) -> str:
    metadata, spec = pod_["metadata"], pod_.get("spec") or {}
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", NODE),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": address,
        "status.hostIP": "127.0.0.1",
    }
    if path not in known:
        raise ContainerError(f"the field {path[:80]} cannot be a variable here: use one of {', '.join(known)}")
    return str(known[path])


def files(pod_: Object, container: Mapping[str, Any], lookup: Lookup) -> dict[str, bytes]:
    """
    The content of the files that a container mounts from Secrets and ConfigMaps, by their paths.

    :raises ContainerError: if a volume is not there, or is of a kind that is not served.
    """
    volumes = {
        each.get("name"): each for each in value_at(pod_, ("spec", "volumes")) or () if isinstance(each, Mapping)
    }
    found: dict[str, bytes] = {}
    for mount in container.get("volumeMounts") or ():
        if isinstance(mount, Mapping):
            found.update(_mounted(mount, volumes.get(mount.get("name")), lookup))
    return found


def _mounted(mount: Mapping[str, Any], volume: Mapping[str, Any] | None, lookup: Lookup) -> Iterator[tuple[str, bytes]]:
    if volume is None:
        raise ContainerError(f"there is no volume {mount.get('name')}")
    path = str(mount.get("mountPath", "")).rstrip("/")
    for key, kind, name_key in (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name")):
        if isinstance(source := volume.get(key), Mapping):
            data = content_of(kind, str(source.get(name_key, "")), lookup)
            items = source.get("items")
            paths = (
                {str(each.get("path")): str(each.get("key")) for each in items if isinstance(each, Mapping)}
                if isinstance(items, list)
                else {name: name for name in data}
            )
            within = mount.get("subPath")
            for file, entry in paths.items():
                if entry in data and within in (None, "", file):
                    yield (path if within else f"{path}/{file}"), data[entry]


def content_of(kind: str, name: str, lookup: Lookup) -> dict[str, bytes]:
    """
    The entries of a Secret or a ConfigMap.

    :raises ContainerError: if there is none of that name.
    """
    found = lookup(kind, name)
    if found is None:
        raise ContainerError(f"there is no {kind} {name}")
    content: dict[str, bytes] = {}
    for key, text in _entries(found, "data"):
        content[key] = _decoded(text) if kind == "Secret" else text.encode()
    for key, text in _entries(found, "binaryData"):
        content[key] = _decoded(text)
    for key, text in _entries(found, "stringData"):
        content[key] = text.encode()
    return content


def _entries(object_: Object, field: str) -> Iterator[tuple[str, str]]:
    data = object_.get(field)
    return ((key, str(value)) for key, value in data.items()) if isinstance(data, Mapping) else iter(())


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (ValueError, binascii.Error):
        return b""
