"""The target of a request: the objects that its address names (Kubernetes, API concepts, "Resource URIs")."""

from __future__ import annotations

from dataclasses import dataclass

from meshgate.api.refusal import RefusedError
from meshgate.api.resource_types import CORE, ResourceType, type_at
from meshgate.api.subresources import is_refused, no_subresource


@dataclass(frozen=True, slots=True)
class Target:
    """
    Objects of a type.

    :ivar version: the version that the client asks for.
    :ivar namespace: empty for all namespaces, and for types without.
    :ivar name: empty for all objects of the namespace.
    :ivar subresource: a view of the object, such as ``status``; empty for the object itself.
    """

    type: ResourceType
    version: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def target_of(path: tuple[str, ...]) -> Target:
    """
    Find the target of an address.

    :param path: its segments, as ``("api", "v1", "namespaces", "default", "services")``.
    :raises RefusedError: if nothing is served there.
    """
    group, version, rest = _versioned(path)
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        raise no_such_address()
    plural, name, subresource = (*rest, "", "")[:3]
    type_ = type_at(group, version, plural)
    if type_ is None or bool(namespace) > type_.namespaced or (name and type_.namespaced and not namespace):
        raise no_such_address()
    if subresource and subresource not in ("status", *type_.subresources) and not is_refused(type_, subresource):
        raise no_subresource(type_, subresource)
    return Target(type_, version, namespace, name, subresource)


def _versioned(path: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
    if len(path) > 2 and path[0] == "api":
        return CORE, path[1], path[2:]
    if len(path) > 3 and path[0] == "apis":
        return path[1], path[2], path[3:]
    raise no_such_address()


def no_such_address() -> RefusedError:
    """The refusal of an address where nothing is served; clients know its words."""
    return RefusedError(404, "the server could not find the requested resource")
