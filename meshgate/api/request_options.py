"""The parameters and bodies of requests, as the collection takes them: options of writes, patches, selectors, pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from meshgate.api import patches
from meshgate.api.collection import WriteOptions
from meshgate.api.object_validation import MOST_WARNINGS, UNKNOWN_FIELDS
from meshgate.api.refusal import RefusedError, bad_request
from meshgate.api.requests import ApiRequest
from meshgate.api.resource_types import ResourceType
from meshgate.api.selectors import Selector, both, field_selector, label_selector
from meshgate.api.store_interface import Object

PROPAGATION: Final = ("Background", "Foreground", "Orphan")
"""The ways in which an object may be deleted, of which the API knows one: what follows from it goes after it."""

APPLY_PATCHES: Final = ("application/apply-patch+yaml", "application/apply-patch+json")

DELETION_POLICIES: Final = ("Background", "Foreground", "Orphan")

LARGEST_OBJECT: Final = 3 << 20
"""The bytes of the largest object that a patch may make: that of the largest body, and its managers."""

LONGEST_MANAGER: Final = 128
"""The length of the longest name of a manager of fields, as in Kubernetes."""

_PATCHES: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    patches.MERGE: patches.merge_patch,
    patches.JSON: patches.json_patch,
    patches.STRATEGIC: patches.strategic_merge_patch,
}


def delete_options(request: ApiRequest) -> Mapping[str, Any]:
    """
    The options of a delete: those of its body, and of its query.

    :raises RefusedError: if one of them is not what it has to be.
    """
    found: Any = request.object() if request.body.strip() else {}
    if not isinstance(found, Mapping) or found.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("the body of a delete is an object of the kind DeleteOptions")
    policy = request.query.get("propagationPolicy", "") or found.get("propagationPolicy")
    if policy not in (None, "", *PROPAGATION):
        raise bad_request(f"propagationPolicy has to be one of {', '.join(PROPAGATION)}, not {str(policy)[:40]!r}")
    seconds = found.get("gracePeriodSeconds")
    if seconds is not None and (type(seconds) is not int or seconds < 0):
        raise bad_request("gracePeriodSeconds has to be a whole number from 0")
    request.number("gracePeriodSeconds")
    if found.get("dryRun") not in (None, [], ["All"], "All"):
        raise bad_request("dryRun has to be [All]")
    preconditions = found.get("preconditions")
    texts = preconditions.values() if isinstance(preconditions, Mapping) else ()
    if preconditions is not None and not (
        isinstance(preconditions, Mapping) and all(each is None or isinstance(each, str) for each in texts)
    ):
        raise bad_request("the preconditions of a delete are the uid and the resourceVersion, as texts")
    return found


def deletion_policy(request: ApiRequest, body: Mapping[str, Any]) -> str:
    """
    What becomes of the objects that a deleted one owns: ``Background``, ``Foreground`` or ``Orphan``.

    :param body: the options in the body.
    :raises RefusedError: if it is something else.
    """
    policy = body.get("propagationPolicy") or request.query.get("propagationPolicy") or "Background"
    if policy not in DELETION_POLICIES:
        known = ", ".join(DELETION_POLICIES)
        raise bad_request(f"propagationPolicy has to be one of {known}, not {str(policy)[:40]!r}")
    return "Orphan" if body.get("orphanDependents") is True else str(policy)


def write_options(request: ApiRequest) -> WriteOptions:
    """The options of a write."""
    dry_run = request.query.get("dryRun", "")
    if dry_run not in ("", "All"):
        raise bad_request(f"dryRun has to be All, not {dry_run[:40]!r}")
    unknown_fields = request.query.get("fieldValidation", "") or "Warn"
    if unknown_fields not in UNKNOWN_FIELDS:
        raise bad_request(f"fieldValidation has to be one of {', '.join(UNKNOWN_FIELDS)}, not {unknown_fields[:40]!r}")
    manager = request.query.get("fieldManager", "")
    if len(manager) > LONGEST_MANAGER or not manager.isprintable():
        raise bad_request(f"fieldManager has up to {LONGEST_MANAGER} characters that can be printed")
    agent = "".join(filter(str.isprintable, request.author.agent)).partition("/")[0][:LONGEST_MANAGER]
    keeps_age = request.flag("keepCreationTimestamp")
    return WriteOptions(request.author, bool(dry_run), unknown_fields, manager or agent or "unknown", keeps_age)


def check_size(object_: Object) -> None:
    """
    Check that a patch has not made an object larger than anybody could send.

    :raises RefusedError: if it has.
    """
    if len(json.dumps(object_)) > LARGEST_OBJECT:
        raise RefusedError(413, f"the object would have more than {LARGEST_OBJECT} bytes")


def check_duplicates(request: ApiRequest, options: WriteOptions) -> None:
    """
    Check that the body has no field twice, where the client wants that to be an error.

    :raises RefusedError: if it has.
    """
    if options.unknown_fields == "Strict" and (found := duplicates(request)):
        raise bad_request(f"strict decoding error: {', '.join(found)}")


def duplicates(request: ApiRequest) -> tuple[str, ...]:
    """Sentences on the fields that a body has twice."""
    if request.query.get("fieldValidation", "") == "Ignore":
        return ()
    return tuple(f'duplicate field "{name}"' for name in request.duplicate_fields()[:MOST_WARNINGS])


def patch_of(request: ApiRequest, *, strategic: bool) -> Callable[[Any, Any], Any]:
    """
    The function that applies the patch of a request.

    :param strategic: True if the type takes strategic merge patches.
    """
    apply = _PATCHES.get(request.content_type)
    if apply is None or (apply is patches.strategic_merge_patch and not strategic):
        supported = [each for each in (*_PATCHES, APPLY_PATCHES[0]) if strategic or each != patches.STRATEGIC]
        hint = "" if strategic else "; with kubectl patch, add --type=merge"
        raise RefusedError(415, f"this type takes the patches {', '.join(supported)}{hint}")
    return apply


def selector(request: ApiRequest, type_: ResourceType) -> Selector:
    """The selector of a list or a watch."""
    query = request.query
    fields = field_selector(query.get("fieldSelector", ""), type_.fields)
    return both(label_selector(query.get("labelSelector", "")), fields)


def continued(token: str, revision: int) -> tuple[int, list[str]]:
    """The revision and the last key of the pages before; those of the first page where there is no token."""
    if not token:
        return revision, []
    try:
        found = json.loads(base64.urlsafe_b64decode(token.encode()))
        before, after = found["revision"], found["after"]
    except (ValueError, binascii.Error, KeyError, TypeError, RecursionError):
        raise bad_request("the continue token is not one of this API") from None
    if type(before) is not int or not isinstance(after, list) or not all(isinstance(each, str) for each in after):
        raise bad_request("the continue token is not one of this API")
    return before, after
