"""
The rights of the two users: ``admin`` may do everything, ``reader`` may read everything but Secrets.

They are fixed, so the questions of ``kubectl auth can-i`` are answered from the same function that decides on requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshgate.api.refusal import RefusedError
from meshgate.api.requests import ApiRequest
from meshgate.api.resource_types import READING_VERBS, TYPES, value_at
from meshgate.api.target import Target

READS: Final = ("GET", "HEAD")

_SECRETS: Final = "secrets"


def is_allowed(writes: bool, verb: str, group: str, plural: str) -> bool:
    """
    True if a user may do something.

    :param writes: True for a user who may write.
    :param plural: the name of the type, or ``*``.
    """
    if writes:
        return True
    return verb in READING_VERBS and not (group in ("", "*") and plural in (_SECRETS, "*"))


def check_access(request: ApiRequest, target: Target) -> None:
    """
    Check that the user may do what a request asks for, and that its type takes it.

    :raises RefusedError: if not.
    """
    type_, reads = target.type, request.method in READS
    if not reads and not request.writes:
        raise RefusedError(403, "this user may only read", type=type_, name=target.name)
    if not is_allowed(request.writes, "get" if reads else "", type_.group, type_.plural):
        raise RefusedError(403, "this user may not read Secrets", type=type_, name=target.name)
    if type_.instead and not reads:
        raise RefusedError(405, f"{type_.qualified_name} cannot be written: {type_.instead}", type=type_)


def access_review(request: ApiRequest, spec: Any) -> dict[str, Any]:
    """The status of a SelfSubjectAccessReview."""
    attributes = value_at(spec, ("resourceAttributes",))
    if not isinstance(attributes, Mapping):
        verb = str(value_at(spec, ("nonResourceAttributes", "verb")) or "")
        return {"allowed": request.writes or verb == "get"}
    verb, group, plural = (str(attributes.get(key) or "") for key in ("verb", "group", "resource"))
    return {"allowed": is_allowed(request.writes, verb, group, plural)}


def rules_review(request: ApiRequest) -> dict[str, Any]:
    """The status of a SelfSubjectRulesReview: all that the user may do."""
    rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}] if request.writes else list(_reading_rules())
    paths = {"verbs": ["*" if request.writes else "get"], "nonResourceURLs": ["*"]}
    return {"resourceRules": rules, "nonResourceRules": [paths], "incomplete": False}


def _reading_rules() -> Iterator[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for each in TYPES:
        if each.listed and is_allowed(False, "get", each.group, each.plural):
            found.setdefault(each.group, []).append(each.plural)
    for group, plurals in found.items():
        yield {"verbs": list(READING_VERBS), "apiGroups": [group], "resources": plurals}
