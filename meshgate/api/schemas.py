"""
The schemas of the kinds that the API serves, in the form of OpenAPI 3: one for each version of a kind.

Istio's kinds come from their models (:mod:`meshgate.resources.field_reference`), each as a whole, as a cluster
publishes its own kinds. Kubernetes' kinds come from the table of their fields (:mod:`meshgate.api.kubernetes_fields`),
a schema for each message, with the descriptions of those fields that meshgate reads.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from meshgate.api.kubernetes_fields import (
    ANY,
    AS_SET,
    BOOL,
    BYTES,
    INT,
    INT_OR_TEXT,
    NUMBER,
    QUANTITY,
    TEXT,
    TIME,
    Field,
    messages,
)
from meshgate.api.resource_types import TYPES, ResourceType
from meshgate.api.store_interface import Object
from meshgate.resources import field_reference
from meshgate.resources.field_reference import kind_entry, schema_of
from meshgate.resources.resource import Metadata
from meshgate.resources.validation import models_in

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/"

IDENTITY: Final = "x-kubernetes-group-version-kind"

_PRIMITIVES: Final[Mapping[str, Mapping[str, Any]]] = {
    TEXT: {"type": "string"},
    TIME: {"type": "string", "format": "date-time"},
    BYTES: {"type": "string", "format": "byte"},
    INT: {"type": "integer"},
    NUMBER: {"type": "number"},
    BOOL: {"type": "boolean"},
    ANY: {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}
_NAMED: Final[Mapping[str, str]] = {
    INT_OR_TEXT: "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    QUANTITY: "io.k8s.apimachinery.pkg.api.resource.Quantity",
}
"""The types that have a schema of their own, since clients show its name."""

_UNREAD: Final = "kept as it is; meshgate does not read it"

_STATUS: Final = "its state, which the gateway itself writes: conditions, and what depends on the kind"

DESCRIPTIONS: Final[Mapping[str, str]] = {
    "ConfigMap": "ConfigMap of Kubernetes (core/v1): texts that pods of the lab may have as files or variables.",
    "ConfigMap.binaryData": "its entries that are no text, in base64",
    "ConfigMap.data": "its entries, by their names",
    "ConfigMap.immutable": "true if its entries may not change",
    "Container.args": "the arguments of its program",
    "Container.command": "its program",
    "Container.env": "its environment variables",
    "Container.image": "what it runs: the lab has a service of its own for each image that it knows",
    "Container.readinessProbe": "how Kubernetes finds out if it takes connections",
    "Container.volumeMounts": "where its volumes are",
    "CustomResourceDefinition": "CustomResourceDefinition of Kubernetes (apiextensions.k8s.io/v1): a kind of Istio.",
    "CustomResourceDefinition.spec": "its names, and its versions with the schema of its fields",
    "CustomResourceDefinition.status": "its state: the API serves it",
    "Deployment.status": "its state, which the gateway itself writes: how many pods there are, and how many are ready",
    "DeploymentSpec.replicas": "the number of its pods; 1 if left out",
    "DeploymentSpec.selector": "the labels of its pods",
    "EnvVar.name": "its name",
    "EnvVar.value": "its value",
    "EnvVar.valueFrom": "the field, ConfigMap or Secret that has its value",
    "Event": "Event of Kubernetes (core/v1): something that happened to an object.",
    "Event.action": "what was done",
    "Event.count": "how often it happened",
    "Event.eventTime": "when it happened first, in microseconds",
    "Event.firstTimestamp": "when it happened first",
    "Event.involvedObject": "the object that it happened to",
    "Event.lastTimestamp": "when it happened last",
    "Event.message": "what happened, as a sentence",
    "Event.reason": "what happened, as one word",
    "Event.related": "another object that it concerns",
    "Event.reportingComponent": "the program that reports it",
    "Event.reportingInstance": "the instance of that program",
    "Event.series": "how often it happened lately",
    "Event.source": "the program that reports it, and where it runs",
    "Event.type": "Normal or Warning",
    "Namespace": "Namespace of Kubernetes (core/v1): other objects belong to one, and have names of their own there.",
    "Namespace.spec": "who must agree to its deletion",
    "Namespace.status": "its state: Active",
    "Node": "Node of Kubernetes (core/v1): the machine that meshgate runs on.",
    "Node.spec": "its content",
    "Node.status": "its state, which the gateway itself writes: its addresses, and that it is ready",
    "ObjectMeta.deletionGracePeriodSeconds": "how long its deletion may take",
    "ObjectMeta.deletionTimestamp": "when its deletion was asked for",
    "ObjectMeta.finalizers": "who must agree to its deletion",
    "ObjectMeta.generateName": "the beginning of its name, to which the API adds letters",
    "ObjectMeta.generation": "how often its content has changed",
    "ObjectMeta.managedFields": "which client manages which of its fields",
    "ObjectMeta.ownerReferences": "the objects with which it is deleted",
    "ObjectMeta.resourceVersion": "the number of its last change",
    "ObjectMeta.selfLink": "its address, which Kubernetes no longer writes",
    "ObjectMeta.uid": "its identity, which no other object ever has",
    "Pod.status": "its state, which the gateway itself writes: if it runs, its address, and why it does not",
    "PodSpec.volumes": "what its containers may have as files",
    "ReplicaSet": "ReplicaSet of Kubernetes (apps/v1): pods of one template, which a Deployment keeps.",
    "ReplicaSet.spec": "its content: the template of its pods and their number",
    "ReplicaSet.status": "its state, which the gateway itself writes: how many pods there are",
    "ReplicaSetSpec.replicas": "the number of its pods",
    "Secret.immutable": "true if its entries may not change",
    "ServiceAccount": "ServiceAccount of Kubernetes (core/v1): whom pods act for in a cluster; without effect here.",
    "ServiceAccount.automountServiceAccountToken": "without effect here",
    "ServiceAccount.imagePullSecrets": "without effect here",
    "ServiceAccount.secrets": "without effect here",
    "Service.status": "its state, which the gateway itself writes: the addresses by which clients reach it",
    "ServiceSpec.clusterIP": "None for a Service without an address of its own; any other value has no effect",
}
"""
The descriptions that no model has: of kinds, and of fields that only the API or the pods of the lab read.
"""


def schemas(group: str, version: str) -> dict[str, Schema]:
    """The schemas of the types of a group in a version, and of all messages that they refer to, by their names."""
    found: dict[str, Schema] = {}
    for type_ in TYPES:
        if type_.group == group and version in type_.versions:
            _add(found, schema_name(type_, version), kind_schema(type_, version))
    return dict(sorted(found.items()))


def _add(found: dict[str, Schema], name: str, schema: Schema) -> None:
    found[name] = schema
    for other in references(schema):
        if other in _NAMED.values():
            found[other] = {**field_reference.INT_OR_TEXT, "description": "a whole number or a text"}
        elif other not in found:
            _add(found, other, _message_schema(other.rpartition(".")[2]))


def references(schema: Any) -> Iterator[str]:
    """The names of the schemas that one refers to."""
    if isinstance(schema, Mapping):
        if isinstance(target := schema.get("$ref"), str):
            yield target.rpartition("/")[2]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def identity(type_: ResourceType, version: str) -> dict[str, str]:
    """The group, version and kind of a type, as the documents name it."""
    return {"group": type_.group, "version": version, "kind": type_.kind}


def schema_name(type_: ResourceType, version: str) -> str:
    """The name of the schema of a type, such as ``io.istio.networking.v1.Gateway``."""
    if _is_tabled(type_):
        return messages()[type_.kind].name
    return ".".join([*reversed(type_.group.split(".")), version, type_.kind])


def kind_schema(type_: ResourceType, version: str) -> Schema:
    """The schema of a type in a version."""
    if _is_tabled(type_):
        schema = _message_schema(type_.kind)
    elif _is_modelled(type_):
        schema = _modelled(type_)
    else:
        instead = f": {type_.instead}" if type_.instead else ""
        schema = {"type": "object", "description": f"There are no objects of this kind here{instead}."}
    return {**schema, IDENTITY: [identity(type_, version)]}


def _is_modelled(type_: ResourceType) -> bool:
    """True for Istio's kinds, whose models have all their fields."""
    return type_.group.endswith("istio.io") and type_.reads is not None


def _is_tabled(type_: ResourceType) -> bool:
    """True for those of Kubernetes' kinds whose fields are in the table."""
    return type_.kind in messages() and not type_.group.endswith("istio.io")


def _modelled(type_: ResourceType) -> Schema:
    if type_.reads is None:
        raise ValueError(f"{type_.qualified_name} has no model")
    head = {entry.name: entry for entry in kind_entry(type_.reads).fields}
    properties: dict[str, Schema] = {
        name: {"type": "string", "description": head[name].description} for name in ("apiVersion", "kind")
    }
    properties["metadata"] = _reference("ObjectMeta", head["metadata"].description)
    properties["spec"] = {**schema_of(type_.reads.model), "description": head["spec"].description}
    open_object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties["status"] = {**open_object, "description": _STATUS}
    return {"type": "object", "description": _sentence(type_.reads.description), "properties": properties}


def _message_schema(name: str) -> Schema:
    fields = messages()[name].fields.values()
    properties = {field.name: _field_schema(field, _description(name, field.name)) for field in fields}
    schema: Schema = {"type": "object", "properties": properties}
    if required := [field.name for field in fields if field.required]:
        schema["required"] = required
    if text := _descriptions().get(name, ""):
        schema["description"] = text
    return schema


def _field_schema(field: Field, description: str) -> Schema:
    if field.form == "map":
        return {"type": "object", "additionalProperties": _value(field.type, ""), "description": description}
    if field.form == "list":
        items = {"type": "array", "items": _value(field.type, ""), "description": description}
        return {**items, **_merging(field)}
    found = _value(field.type, description)
    if field.name == "strategy":
        found["x-kubernetes-patch-strategy"] = "retainKeys"
    return found


def _merging(field: Field) -> Schema:
    """The keys by which a list is merged (Kubernetes, "Merge strategy"); a strategic merge patch uses the first."""
    if not field.keys:
        return {"x-kubernetes-list-type": "atomic"}
    if field.keys == AS_SET:
        return {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
    strategy = "merge,retainKeys" if field.name in ("volumes", "resourceClaims") else "merge"
    return {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(field.keys),
        "x-kubernetes-patch-strategy": strategy,
        "x-kubernetes-patch-merge-key": field.keys[0],
    }


def _value(type_: str, description: str) -> Schema:
    told = {"description": description} if description else {}
    return {**_PRIMITIVES[type_], **told} if type_ in _PRIMITIVES else _reference(type_, description)


def _reference(type_: str, description: str) -> Schema:
    name = _NAMED[type_] if type_ in _NAMED else messages()[type_].name
    target = {"$ref": f"{REFERENCE}{name}"}
    return {"allOf": [target], "description": description} if description else target


def _description(message: str, field: str) -> str:
    return _descriptions().get(f"{message}.{field}") or _UNREAD


@cache
def _descriptions() -> Mapping[str, str]:
    """The descriptions of messages and their fields, those of the models first."""
    found: dict[str, str] = {}
    _describe(found, "ObjectMeta", Metadata)
    for type_ in TYPES:
        if not _is_tabled(type_):
            continue
        head = {"apiVersion": "the version of the kind", "kind": "the kind of the document"}
        if type_.reads is not None:
            found[type_.kind] = _sentence(type_.reads.description)
            head = {entry.name: entry.description for entry in kind_entry(type_.reads).fields}
            message = type_.kind if type_.reads.flat else messages()[type_.kind].fields["spec"].type
            _describe(found, message, type_.reads.model)
        head.setdefault("metadata", "its name, namespace, labels and annotations")
        for name, text in head.items():
            found.setdefault(f"{type_.kind}.{name}", text)
    return {**DESCRIPTIONS, **found}


def _describe(found: dict[str, str], message: str, model: type[BaseModel]) -> None:
    """Note what a model says of the fields of a message, and of the messages in it."""
    fields = messages()[message].fields
    for field_name, info in model.model_fields.items():
        name = info.alias or field_name
        if info.description and f"{message}.{name}" not in found:
            found[f"{message}.{name}"] = info.description
        below = next(models_in([info.annotation]), None)
        if below is not None and name in fields:
            _describe(found, fields[name].type, below)


def _sentence(phrase: str) -> str:
    """A phrase that begins as a sentence does."""
    return re.sub(r"^[a-z]", lambda match: match.group().upper(), phrase)


def kind_definitions(revision: int, now: str) -> Iterator[Object]:
    """
    The definitions of Istio's kinds.

    :param now: the time of their creation, as Kubernetes writes it.
    """
    return (_definition(type_, revision, now) for type_ in TYPES if type_.group.endswith("istio.io"))


def _definition(type_: ResourceType, revision: int, now: str) -> Object:
    names = {"plural": type_.plural, "singular": type_.singular, "kind": type_.kind, "listKind": f"{type_.kind}List"}
    all_names = {**names, "shortNames": list(type_.short_names), "categories": list(type_.categories)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": type_.qualified_name,
            "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, type_.qualified_name)),
            "resourceVersion": str(revision),
            "generation": 1,
            "creationTimestamp": now,
        },
        "spec": {
            "group": type_.group,
            "names": all_names,
            "scope": "Namespaced" if type_.namespaced else "Cluster",
            "versions": [_version(type_, version) for version in type_.versions],
            "conversion": {"strategy": "None"},
        },
        "status": {
            "acceptedNames": all_names,
            "storedVersions": [type_.versions[0]],
            "conditions": [
                _condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
                _condition("Established", "InitialNamesAccepted", "the API serves the kind", now),
            ],
        },
    }


def _version(type_: ResourceType, version: str) -> dict[str, Any]:
    schema = kind_schema(type_, version)
    content = {name: schema["properties"][name] for name in ("spec", "status")}
    return {
        "name": version,
        "served": True,
        "storage": version == type_.versions[0],
        "schema": {"openAPIV3Schema": {"type": "object", "description": schema["description"], "properties": content}},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": column.name, "type": "string", "jsonPath": f".{'.'.join(column.path)}"} for column in type_.columns
        ],
    }


def _condition(name: str, reason: str, message: str, now: str) -> dict[str, str]:
    return {"type": name, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
