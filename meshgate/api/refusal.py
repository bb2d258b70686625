"""Refusals: the failures of requests, as Kubernetes' clients expect them (apimachinery, meta/v1, type Status)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshgate.api.resource_types import ResourceType

_REASONS: Final[Mapping[int, str]] = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    507: "InsufficientStorage",
}
"""The reasons by the HTTP status."""


@dataclass(frozen=True, slots=True)
class Cause:
    """
    One thing that is wrong with an object.

    :ivar field: the path of the field, as ``spec.servers[0].port.number``.
    """

    message: str
    field: str = ""
    reason: str = "FieldValueInvalid"

    def as_json(self) -> dict[str, str]:
        """The form of the API."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


@dataclass(eq=False)
class RefusedError(Exception):
    """
    A request that is refused.

    :ivar code: the HTTP status.
    :ivar message: a sentence for people. It must hold no secret.
    :ivar reason: a word for programs; by default the usual one of the status.
    """

    code: int
    message: str
    reason: str = ""
    type: ResourceType | None = None
    name: str = ""
    causes: tuple[Cause, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The ``Status`` object of the answer."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason or _REASONS.get(self.code, "InternalError"),
            "code": self.code,
        }
        details = details_of(self.type, self.name)
        if self.type is not None and self.code == 422:
            details["kind"] = self.type.kind  # and not its plural, as in Kubernetes: kubectl says it to people
        if self.causes:
            details["causes"] = [cause.as_json() for cause in self.causes]
        if details:
            status["details"] = details
        return status


def details_of(type_: ResourceType | None, name: str = "", uid: str = "") -> dict[str, Any]:
    """The details of a ``Status`` about an object."""
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if type_ is not None:
        if type_.group:
            details["group"] = type_.group
        details["kind"] = type_.plural
    if uid:
        details["uid"] = uid
    return details


def bad_request(message: str) -> RefusedError:
    """A request that cannot be understood."""
    return RefusedError(400, message)


def not_found(type_: ResourceType, name: str) -> RefusedError:
    """An object that does not exist."""
    return RefusedError(404, f'{type_.qualified_name} "{name}" not found', type=type_, name=name)


def already_exists(type_: ResourceType, name: str, origin: str = "") -> RefusedError:
    """
    An object that is to be created although it exists.

    :param origin: where another provider defines it; empty where a client has created it.
    """
    message = f'{type_.qualified_name} "{name}" already exists' + (f": {origin} defines it" if origin else "")
    return RefusedError(409, message, "AlreadyExists", type_, name)


def not_ours(type_: ResourceType, name: str, origin: str) -> RefusedError:
    """
    A write to an object that clients cannot change.

    :param origin: where another provider defines it; empty for an object of the gateway itself.
    """
    message = f'{type_.qualified_name} "{name}" is forbidden: '
    message += f"{origin} defines it; change it there" if origin else "the gateway itself needs it"
    return RefusedError(403, message, type=type_, name=name)


def conflict(type_: ResourceType, name: str, why: str) -> RefusedError:
    """A write that was made for another state of the object."""
    message = f'Operation cannot be fulfilled on {type_.qualified_name} "{name}": {why}'
    return RefusedError(409, message, type=type_, name=name)


def invalid(type_: ResourceType, name: str, causes: Iterable[Cause]) -> RefusedError:
    """An object with faults, the one that a person needs first first."""
    found = tuple(causes)
    texts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in found]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{type_.kind}.{type_.group}" if type_.group else type_.kind
    return RefusedError(422, f'{qualified} "{name}" is invalid: {text}', type=type_, name=name, causes=found)
