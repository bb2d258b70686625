"""The subresource ``scale``: the number of replicas of an object by itself (Kubernetes, autoscaling/v1, Scale)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshgate.api.refusal import bad_request
from meshgate.api.resource_types import value_at
from meshgate.api.store_interface import Object


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
