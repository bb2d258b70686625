"""The visibility of resources: the namespaces that ``exportTo`` names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.shared_fields import EVERYBODY, OWN_NAMESPACE
from meshgate.resources.resource import Resource

EXPORT_TO_ANNOTATION: Final = "networking.istio.io/exportTo"
"""The annotation that a Service has in place of ``exportTo``, its words separated by commas."""


def export_to(resource: Resource[Any]) -> Sequence[str]:
    """The words of a resource's ``exportTo``; if there are none, everybody may see it."""
    if isinstance(resource.spec, ServiceSpec):
        words_text = resource.annotations.get(EXPORT_TO_ANNOTATION, "")
        return tuple(filter(None, map(str.strip, words_text.split(","))))
    words: Sequence[str] = resource.spec.export_to
    return words


def scopes(resource: Resource[Any]) -> frozenset[str]:
    """The namespaces that may see a resource; ``*`` alone if all may."""
    words = export_to(resource)
    if not words or EVERYBODY in words:
        return frozenset([EVERYBODY])
    return frozenset(resource.namespace if word == OWN_NAMESPACE else word for word in words)


def visible(resource: Resource[Any], namespace: str) -> bool:
    """True if a resource is visible from a namespace."""
    seen_by = scopes(resource)
    return EVERYBODY in seen_by or namespace in seen_by
