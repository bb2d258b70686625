"""
Patches of objects: JSON merge patches (RFC 7396), JSON patches (RFC 6902), and Kubernetes' strategic merge patches.

A patch never changes the object that it is applied to; it gives a new one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

import jsonpatch
import jsonpointer

from meshgate.api.kubernetes_fields import list_keys, sets
from meshgate.api.refusal import RefusedError, bad_request

MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"

MOST_OPERATIONS: Final = 10_000
"""The number of operations of a JSON patch, as in Kubernetes."""

MOST_COPIED: Final = 3 << 20
"""The bytes that all ``copy`` operations of a JSON patch may copy, as in Kubernetes."""

_DIRECTIVE: Final = "$patch"
_ORDER: Final = "$setElementOrder/"
_DELETE_VALUES: Final = "$deleteFromPrimitiveList/"
_RETAIN_KEYS: Final = "$retainKeys"

_MERGE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "conditions": ("type",),
    **{name: tuple(each[0] for each in keys) for name, keys in list_keys().items()},
}
"""The lists of Kubernetes' own kinds that are merged by a key, by the name of their field."""

_MERGED_VALUES: Final = sets()
"""The lists of texts that are merged."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396, section 2)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Any, patch: Any) -> Any:
    """
    Apply a JSON patch (RFC 6902).

    :raises RefusedError: if it is not one, does not fit the object, or would make much of little by copies.
    """
    if not isinstance(patch, list):
        raise bad_request("a JSON patch is a list of operations")
    if len(patch) > MOST_OPERATIONS:
        raise RefusedError(413, f"a JSON patch has no more than {MOST_OPERATIONS} operations")
    result, copied = copy.deepcopy(target), 0
    for number, operation in enumerate(patch):
        try:
            if isinstance(operation, Mapping) and operation.get("op") == "copy":
                copied += len(json.dumps(jsonpointer.resolve_pointer(result, operation["from"])))
                if copied > MOST_COPIED:
                    raise RefusedError(413, f"the operation {number} of the JSON patch copies too much")
            result = jsonpatch.JsonPatch([operation]).apply(result, in_place=True)
        except jsonpatch.JsonPatchTestFailed:
            # Without the values, which may be those of a Secret.
            path = str(operation.get("path"))[:200]
            raise RefusedError(422, f"the test of {path} in operation {number} of the JSON patch failed") from None
        except (
            jsonpatch.JsonPatchException,
            jsonpointer.JsonPointerException,
            *(TypeError, LookupError, AttributeError, ValueError, OverflowError, RecursionError),
        ):
            what = _operation_text(operation)
            raise bad_request(f"the operation {number} of the JSON patch cannot be applied: {what}") from None
    return result


def _operation_text(operation: Any) -> str:
    """An operation without its value, which may be that of a Secret."""
    if not isinstance(operation, Mapping):
        return "it is not an object"
    return " ".join(str(operation[key])[:200] for key in ("op", "from", "path") if key in operation)


def strategic_merge_patch(target: Any, patch: Any) -> Any:
    """
    Apply a strategic merge patch: lists with a merge key are merged item by item (apimachinery, strategicpatch).

    :raises RefusedError: if a directive of the patch is not known, or an item has no key.
    """
    if not isinstance(patch, Mapping):
        return patch
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return _without_directives({key: value for key, value in patch.items() if key != _DIRECTIVE})
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown directive {str(directive)[:40]!r} of a strategic merge patch")
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if key == _DIRECTIVE or key.startswith((_ORDER, _DELETE_VALUES)):
            continue
        if key == _RETAIN_KEYS:
            if not isinstance(value, list):
                raise bad_request(f"{_RETAIN_KEYS} in the strategic merge patch is not a list")
            result = {name: each for name, each in result.items() if name in value}
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _merged_list(key, result.get(key), value)
        else:
            result[key] = strategic_merge_patch(result.get(key), value)
    _apply_list_directives(result, patch)
    return result


def _merged_list(field: str, target: Any, patch: list[Any]) -> list[Any]:
    before = target if isinstance(target, list) else []
    if field in _MERGED_VALUES:
        return [*before, *(value for value in patch if value not in before)]
    keys = _MERGE_KEYS.get(field)
    if keys is None or not all(isinstance(item, Mapping) for item in (*before, *patch)):
        return [_without_directives(item) for item in patch]
    if any(item.get(_DIRECTIVE) == "replace" for item in patch):
        return [_without_directives(item) for item in patch if _DIRECTIVE not in item]
    result = list(before)
    for item in patch:
        key = next((name for name in keys if name in item), None)
        if key is None:
            raise bad_request(f"an item of {field} in the strategic merge patch has no {keys[0]}")
        index = next((at for at, each in enumerate(result) if each.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            if index is not None:
                del result[index]
        elif index is None:
            result.append(strategic_merge_patch({}, item))
        else:
            result[index] = strategic_merge_patch(result[index], item)
    return result


def _apply_list_directives(result: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for directive, value in patch.items():
        field = directive.partition("/")[2]
        if directive.startswith(_DELETE_VALUES) and not isinstance(value, list):
            raise bad_request(f"{directive[:100]} in the strategic merge patch is not a list")
        if directive.startswith(_DELETE_VALUES) and isinstance(result.get(field), list):
            result[field] = [each for each in result[field] if each not in value]
        elif directive.startswith(_ORDER) and isinstance(result.get(field), list):
            result[field] = _ordered(result[field], value, _MERGE_KEYS.get(field, ()))


def _ordered(items: list[Any], order: Any, keys: tuple[str, ...]) -> list[Any]:
    """Items in the order of a directive; those that it does not name stay behind the item that they followed."""
    if not isinstance(order, list):
        raise bad_request("the order of a list in the strategic merge patch is not a list")

    def rank(item: Any) -> int | None:
        for at, wanted in enumerate(order):
            if isinstance(wanted, Mapping) and isinstance(item, Mapping):
                if any(name in wanted and wanted[name] == item.get(name) for name in keys):
                    return at
            elif wanted == item:
                return at
        return None

    ranks: list[tuple[int, int]] = []
    last = -1
    for at, item in enumerate(items):
        found = rank(item)
        last = found if found is not None else last
        ranks.append((last, at))
    return [items[at] for _, at in sorted(ranks)]


def _without_directives(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_directives(each) for key, each in value.items() if not key.startswith("$")}
    if isinstance(value, list):
        return [_without_directives(each) for each in value]
    return value
