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
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from meshgate import __version__
from meshgate.api.pods.pod_image import ContainerError
from meshgate.api.pods.rollouts import CHANGE_CAUSE, REVISION
from meshgate.api.store_interface import Object, value_at

HASH_LABEL: Final = "pod-template-hash"

NODE: Final = "minikube"
"""The name of the node: there is one, and examples call it so."""

NO_CONFIG: Final = "CreateContainerConfigError"
"""The reason of a container that lacks a variable's source."""

NO_VOLUME: Final = "ContainerCreating"
"""The reason of a container that lacks a volume."""

_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_ENTRY: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")

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


def replica_set(
    deployment: Object, replicas: int, revision: int, template: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    The ReplicaSet of a template of a Deployment, without a status.

    :param revision: its number among those of the Deployment.
    :param template: the template; by default the present one.
    """
    template, metadata = template if template is not None else template_of(deployment), deployment["metadata"]
    annotations = {REVISION: str(revision)}
    if cause := (metadata.get("annotations") or {}).get(CHANGE_CAUSE):
        annotations[CHANGE_CAUSE] = cause
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
            "annotations": annotations,
            "ownerReferences": [owner(deployment)],
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": selector}, "template": full},
    }


def resized(set_: Object, replicas: int, revision: int) -> dict[str, Any]:
    """A ReplicaSet with another number of Pods, and its number among those of the Deployment."""
    metadata = set_["metadata"]
    annotations = {**(metadata.get("annotations") or {}), REVISION: str(revision)}
    return {
        **set_,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**set_["spec"], "replicas": replicas},
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


def node(now: str) -> dict[str, Any]:
    """
    The only node.

    :param now: the present time, as Kubernetes writes it.
    """
    ready = {"type": "Ready", "status": "True", "reason": "MeshgateReady", "message": "this machine runs the pods"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE,
            "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, NODE)),
            "creationTimestamp": now,
            "resourceVersion": "1",
            "generation": 1,
            "labels": {"kubernetes.io/hostname": NODE},
        },
        "spec": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": NODE}],
            "conditions": [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": now}],
            "nodeInfo": {"kubeletVersion": f"meshgate {__version__}"},
        },
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
    for source in container.get("envFrom") or ():
        if isinstance(source, Mapping):
            found.update(_all_entries(source, lookup))
    for variable in container.get("env") or ():
        if isinstance(variable, Mapping) and isinstance(variable.get("name"), str):
            value = _value(pod_, variable, address, lookup)
            if value is not None:
                found[variable["name"]] = _expanded(value, found)
    return found


def _all_entries(source: Mapping[str, Any], lookup: Lookup) -> Iterator[tuple[str, str]]:
    """The variables that come from all entries of a Secret or a ConfigMap."""
    for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
        if isinstance(reference := source.get(key), Mapping):
            for name, value in _content(kind, reference, lookup, NO_CONFIG).items():
                yield f"{source.get('prefix') or ''}{name}", value.decode("utf-8", "replace")


def _expanded(value: str, found: Mapping[str, str]) -> str:
    """A value with the variables before it in the place of ``$(NAME)``; ``$$`` is a dollar."""
    return _REFERENCE.sub(lambda match: "$" if match[0] == "$$" else found.get(match[1], match[0]), value)


def _value(pod_: Object, variable: Mapping[str, Any], address: str, lookup: Lookup) -> str | None:
    source = variable.get("valueFrom")
    if not isinstance(source, Mapping):
        return str(variable.get("value", ""))
    if isinstance(field := source.get("fieldRef"), Mapping):
        return _field(pod_, str(field.get("fieldPath", "")), address)
    for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if isinstance(reference := source.get(key), Mapping):
            data = _content(kind, reference, lookup, NO_CONFIG)
            entry = str(reference.get("key", ""))
            if entry in data:
                return data[entry].decode("utf-8", "replace")
            if reference.get("optional") is True:
                return None
            raise ContainerError(f"the {kind} {reference.get('name')} has no entry {entry}", NO_CONFIG)
    raise ContainerError(f"the variable {variable['name']} comes from something that is not served here", NO_CONFIG)


def _field(pod_: Object, path: str, address: str) -> str:
    metadata, spec = pod_["metadata"], pod_.get("spec") or {}
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", NODE),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": "127.0.0.1",
    }
    if match := _ENTRY.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path not in known:
        names = ", ".join((*known, "metadata.labels['…']", "metadata.annotations['…']"))
        raise ContainerError(f"the field {path[:80]} cannot be a variable here: use one of {names}", NO_CONFIG)
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
        raise ContainerError(f"there is no volume {mount.get('name')}", NO_VOLUME)
    path, within = str(mount.get("mountPath", "")).rstrip("/"), mount.get("subPath")
    projected = value_at(volume, ("projected", "sources"))
    for source in projected if isinstance(projected, list) else [volume]:
        for file, data in _files_of(source, lookup) if isinstance(source, Mapping) else ():
            if within in (None, "", file):
                yield (path if within else f"{path}/{file}"), data


def _files_of(source: Mapping[str, Any], lookup: Lookup) -> Iterator[tuple[str, bytes]]:
    """The files of a volume, or of a source of one, by their paths within it."""
    for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if isinstance(reference := source.get(key), Mapping):
            name = reference.get("secretName", reference.get("name", ""))
            data = _content(kind, {**reference, "name": name}, lookup, NO_VOLUME)
            items = reference.get("items")
            if not isinstance(items, list):
                yield from data.items()
                return
            for each in items:
                entry = str(each.get("key")) if isinstance(each, Mapping) else ""
                if entry in data:
                    yield str(each.get("path")), data[entry]
                elif reference.get("optional") is not True:
                    raise ContainerError(f"the {kind} {name} has no entry {entry[:80]}", NO_VOLUME)


def _content(kind: str, reference: Mapping[str, Any], lookup: Lookup, reason: str) -> dict[str, bytes]:
    """The entries of a Secret or a ConfigMap that may be optional."""
    name = str(reference.get("name", ""))
    if reference.get("optional") is True and lookup(kind, name) is None:
        return {}
    return content_of(kind, name, lookup, reason)


def content_of(kind: str, name: str, lookup: Lookup, reason: str) -> dict[str, bytes]:
    """
    The entries of a Secret or a ConfigMap.

    :param reason: the word for a container that waits for it.
    :raises ContainerError: if there is none of that name.
    """
    found = lookup(kind, name)
    if found is None:
        raise ContainerError(f"there is no {kind} {name}", reason)
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
