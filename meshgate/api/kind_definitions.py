"""
CustomResourceDefinitions of Istio's kinds, by which clients find out if a server has them, and with which fields.

They come with meshgate, and cannot be written.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from meshgate.api.resource_types import TYPES, ResourceType
from meshgate.api.schemas import kind_schema
from meshgate.api.store_interface import Object


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
