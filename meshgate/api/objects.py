"""
The rules for the metadata of an object, and the defaults that the API adds to it: pure functions from a request's
object to the one that is stored.

The API follows apimachinery (registry/rest: BeforeCreate, BeforeUpdate, BeforeDelete): a client never sets the
identity, the age or the revision of an object, and the generation counts the changes of everything but the metadata
and the status. As in Kubernetes, clients rely on some defaults, and on the namespaces of the start.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from meshgate.api.managed_fields import are_managed_fields
from meshgate.api.refusal import Cause, RefusedError, bad_request, conflict, invalid
from meshgate.api.request_bodies import DEEPEST, is_shallow
from meshgate.api.resource_types import NAMESPACES, ResourceType
from meshgate.api.store_interface import Object, value_at

SUBDOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SUFFIX_LENGTH: Final = 5
_LONGEST_PREFIX: Final = 58
_GIVEN_BY_SERVER: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


def checked(type_: ResourceType, version: str, namespace: str, body: Any, name: str = "") -> dict[str, Any]:
    """
    Check that a body is an object of the type that the address says, and complete its head.

    :param namespace: the namespace of the address; empty for types without.
    :param name: the name of the address; empty for an object that is created.
    :return: a copy with apiVersion, kind and metadata.
    :raises RefusedError: if it is something else.
    """
    if not isinstance(body, Mapping):
        raise bad_request("the body is not an object")
    if not is_shallow(body):  # a patch may have made it so
        raise bad_request(f"the object nests more than {DEEPEST} levels deep")
    kind, api_version = body.get("kind", type_.kind), body.get("apiVersion", type_.api_version(version))
    if kind != type_.kind or api_version != type_.api_version(version):
        raise bad_request(
            f"the object provided is {str(api_version)[:60]}, Kind={str(kind)[:60]}, and the address is of "
            f"{type_.api_version(version)}, Kind={type_.kind}"
        )
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        raise bad_request("the object has no metadata")
    given = metadata.get("namespace")
    if type_.namespaced and given not in (None, "", namespace):
        raise bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request: {str(given)[:60]} "
            f"is not {namespace}"
        )
    head = {"apiVersion": type_.api_version(type_.versions[0]), "kind": kind}
    full = {**metadata, "namespace": namespace} if type_.namespaced else _without(metadata, "namespace")
    if name and full.setdefault("name", name) != name:
        raise bad_request(
            f"the name of the object ({str(full['name'])[:300]}) does not match the name on the URL ({name})"
        )
    if "managedFields" in full and not are_managed_fields(full["managedFields"]):
        del full["managedFields"]  # those of before count, as in Kubernetes
    return {**head, "metadata": full, **_without(body, "apiVersion", "kind", "metadata")}


def named(type_: ResourceType, body: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    """
    Give an object its name, from ``generateName`` where it has none.

    :param suffix: random letters.
    :raises RefusedError: if the name cannot be one.
    """
    metadata = body["metadata"]
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if not name and isinstance(prefix, str) and prefix:
        name = f"{prefix[:_LONGEST_PREFIX]}{suffix[:_SUFFIX_LENGTH]}"
    if not name:
        raise invalid(type_, "", [Cause("name or generateName is required", "metadata.name", "FieldValueRequired")])
    pattern, rule = _name_rule(type_)
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise invalid(type_, str(name)[:300], [Cause(f"Invalid value: {str(name)[:300]!r}: {rule}", "metadata.name")])
    return {**body, "metadata": {**metadata, "name": name}}


def _name_rule(type_: ResourceType) -> tuple[re.Pattern[str], str]:
    """The pattern of the names of a type, and the sentence about it (apimachinery, pkg/util/validation)."""
    ends = "must begin and end with a letter or digit"
    if type_.kind == "Service":
        return _SERVICE, "up to 63 lower-case letters, digits and -; it must begin with a letter and not end with -"
    if not type_.namespaced:
        return _LABEL, f"up to 63 lower-case letters, digits and -; it {ends}"
    return SUBDOMAIN, f"up to 253 lower-case letters, digits, - and .; each part between dots {ends}"


def created(body: Mapping[str, Any], uid: str, now: datetime, *, keeps_age: bool = False) -> dict[str, Any]:
    """
    The object that is stored for one that is created, but for its revision.

    :param keeps_age: keep the creationTimestamp that the object comes with, unless it is none, or in the future.
    """
    metadata = _without(body["metadata"], *_GIVEN_BY_SERVER, "resourceVersion", "generation")
    born = (_time(body["metadata"].get("creationTimestamp")) if keeps_age else None) or now
    head = {"uid": uid, "creationTimestamp": timestamp(min(born, now)), "generation": 1}
    return {**_without(body, "status"), "metadata": {**metadata, **head}}


def updated(type_: ResourceType, before: Object, body: Mapping[str, Any], since: str = "") -> dict[str, Any]:
    """
    The object that is stored in the place of another one, but for its revision.

    The gateway writes a status soon after each write of a client, which would make the revision that the client has got
    useless. The status is never the client's, so a change of it alone is none that the client could undo.

    :param since: the revision since which nothing but the status of the object has changed; empty if that has not.
    :raises RefusedError: if the body was made from another state of the object.
    """
    old, new = before["metadata"], body["metadata"]
    name = old["name"]
    if new.get("uid") not in (None, "", old["uid"]):
        found = str(new["uid"])[:60]
        raise conflict(type_, name, f"the UID in the precondition ({found}) is not that of the object")
    wanted = new.get("resourceVersion")
    if wanted not in (None, "", old["resourceVersion"]) and not _is_between(since, wanted, old["resourceVersion"]):
        raise conflict(
            type_, name, "the object has been modified; please apply your changes to the latest version and try again"
        )
    kept = {key: old[key] for key in _GIVEN_BY_SERVER if key in old}
    if "managedFields" in old:
        kept["managedFields"] = new.get("managedFields", old["managedFields"])
    metadata = {**_without(new, *_GIVEN_BY_SERVER), **kept, "name": name, "generation": old["generation"]}
    metadata["resourceVersion"] = old["resourceVersion"]
    after = {**_without(body, "status"), "metadata": metadata}
    if "status" in before:
        after["status"] = before["status"]
    if _content(after) != _content(before):
        metadata["generation"] = old["generation"] + 1
    return after


def with_revision(object_: Object, revision: int) -> dict[str, Any]:
    """The object with its revision."""
    return {**object_, "metadata": {**object_["metadata"], "resourceVersion": str(revision)}}


def marked_deleted(type_: ResourceType, object_: Object, now: datetime) -> dict[str, Any]:
    """An object that is to be deleted once its finalizers, or the objects in a namespace, are gone."""
    metadata = {**object_["metadata"], "deletionTimestamp": timestamp(now), "deletionGracePeriodSeconds": 0}
    status = {"status": {"phase": "Terminating"}} if type_ is NAMESPACES else {}
    return {**object_, "metadata": metadata, **status}


def has_finalizers(object_: Object) -> bool:
    """True if something else must agree before the object is deleted."""
    return bool(object_["metadata"].get("finalizers"))


def check_preconditions(type_: ResourceType, object_: Object, preconditions: Any) -> None:
    """
    Check the preconditions of a delete.

    :raises RefusedError: if the object is another one, or has another revision.
    """
    if not isinstance(preconditions, Mapping):
        return
    metadata = object_["metadata"]
    for key in ("uid", "resourceVersion"):
        if preconditions.get(key) not in (None, metadata[key]):
            why = f"the {key} in the precondition ({str(preconditions[key])[:60]}) is not {metadata[key]}"
            raise conflict(type_, metadata["name"], why)


def in_version(object_: Object, type_: ResourceType, version: str) -> Object:
    """The object in the version that a client asks for."""
    api_version = type_.api_version(version)
    return object_ if object_["apiVersion"] == api_version else {**object_, "apiVersion": api_version}


def _time(value: Any) -> datetime | None:
    """A time of an object; None if it is none with a time zone."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def timestamp(time: datetime) -> str:
    """A time as Kubernetes writes it: whole seconds in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def key_of(object_: Object) -> tuple[str, str]:
    """The namespace, which may be empty, and the name of an object."""
    return value_at(object_, ("metadata", "namespace")) or "", object_["metadata"]["name"]


def too_old(message: str = "too old resource version") -> RefusedError:
    """A list or a watch that continues from a state which is forgotten."""
    return RefusedError(410, message)


def too_new(revision: int, last: int) -> RefusedError:
    """A list of a state that is not there yet; clients know the cause, and come back."""
    causes = (Cause("Too large resource version", reason="ResourceVersionTooLarge"),)
    message = f"Too large resource version: {revision}, current: {last}"
    return RefusedError(504, message, "Timeout", causes=causes, headers={"retry-after": "1"})


def _is_between(first: str, revision: Any, last: str) -> bool:
    text = str(revision)
    return bool(first) and text.isascii() and text.isdigit() and len(text) < 20 and int(first) <= int(text) <= int(last)


def _content(object_: Object) -> dict[str, Any]:
    return _without(object_, "metadata", "status", "apiVersion")


def _without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


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
