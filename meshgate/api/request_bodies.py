r"""
The bodies of requests, in JSON and in protobuf, as Kubernetes' API reads them.

What is read here is written again as JSON that every client understands. Python reads more JSON than that: numbers
beyond any range, texts with half of a surrogate pair, and depth that other functions cannot follow. An object with one
of them would break each list that it is in, for each client.

``kubectl create`` sends protobuf for some of Kubernetes' own kinds from 1.32 on. Such a body is the magic ``k8s\0`` and
a message ``runtime.Unknown`` with the type and the object (apimachinery, runtime/serializer/protobuf). The tables below
have the messages that the API takes, with the numbers of their fields from Kubernetes' ``generated.proto`` files; a
field that they do not have is refused, so that nothing is lost silently.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from meshgate.api import kubernetes_fields
from meshgate.api.kubernetes_fields import BOOL, BYTES, INT, INT_OR_TEXT, TEXT, messages
from meshgate.api.refusal import RefusedError, bad_request

DEEPEST: Final = 100
"""The depth to which values may be nested; files have the same limit."""

_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(text: bytes) -> Any:
    """
    Read a value.

    A whole number beyond 64 bits becomes a fraction, and half of a surrogate pair a replacement character, as in
    Kubernetes.

    :raises ValueError: if the text is not JSON, or has a value that JSON of other programs cannot have.
    """
    decoded = text.decode()
    try:
        value = json.loads(decoded, parse_constant=_no_constant, parse_float=_fraction, parse_int=_number)
    except RecursionError:
        raise _too_deep() from None
    if text.count(b"[") + text.count(b"{") > DEEPEST and not is_shallow(value):
        raise _too_deep()
    return _without_surrogates(value) if _ESCAPED_SURROGATE.search(text) else value


def is_shallow(value: Any) -> bool:
    """True if a value is not nested more deeply than values may be."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _content(each) if isinstance(inner, dict | list)]
        if not level:
            return True
    return False


def duplicate_fields(text: bytes) -> tuple[str, ...]:
    """
    The names of fields that an object of a text has twice, of which the last one counts; each once.

    :param text: JSON; anything else has none.
    """
    found: dict[str, None] = {}

    def see(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = None
            seen.add(name)

    try:
        json.loads(text, object_pairs_hook=see)
    except (ValueError, RecursionError):
        return ()
    return tuple(_without_surrogates(name) for name in found)


def _content(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    return [_without_surrogates(each) for each in value] if isinstance(value, list) else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _fraction(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _number(text: str) -> int | float:
    value = int(text) if len(text) < 20 else _fraction(text)
    return value if isinstance(value, float) or _LEAST <= value <= _GREATEST else float(value)


def _too_deep() -> ValueError:
    return ValueError(f"it nests more than {DEEPEST} levels deep")


MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"

MAGIC: Final = b"k8s\x00"

_DEEPEST: Final = 20

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Field:
    """
    A field of a message.

    :ivar form: ``text``, ``bytes``, ``number``, ``flag``, ``texts`` (a map), ``blobs`` (a map to bytes), or the name of
        a message.
    """

    name: str
    form: str = "text"
    repeated: bool = False


_NUMBERS: Final[Mapping[str, Mapping[int, str]]] = {
    "ObjectMeta": {
        1: "name",
        2: "generateName",
        3: "namespace",
        4: "selfLink",
        5: "uid",
        6: "resourceVersion",
        7: "generation",
        8: "creationTimestamp",
        11: "labels",
        12: "annotations",
        14: "finalizers",
    },
    "Namespace": {1: "metadata", 2: "spec", 3: "status"},
    "ConfigMap": {1: "metadata", 2: "data", 3: "binaryData", 4: "immutable"},
    "Secret": {1: "metadata", 2: "data", 3: "type", 4: "stringData", 5: "immutable"},
    "Service": {1: "metadata", 2: "spec", 3: "status"},
    "ServiceSpec": {1: "ports", 2: "selector", 3: "clusterIP", 4: "type", 7: "sessionAffinity", 10: "externalName"},
    "ServicePort": {1: "name", 2: "protocol", 3: "port", 4: "targetPort", 5: "nodePort", 6: "appProtocol"},
    "Deployment": {1: "metadata", 2: "spec", 3: "status"},
    "DeploymentSpec": {
        1: "replicas",
        2: "selector",
        3: "template",
        4: "strategy",
        5: "minReadySeconds",
        6: "revisionHistoryLimit",
        9: "progressDeadlineSeconds",
    },
    "LabelSelector": {1: "matchLabels"},
    "PodTemplateSpec": {1: "metadata", 2: "spec"},
    "PodSpec": {
        2: "containers",
        3: "restartPolicy",
        6: "dnsPolicy",
        8: "serviceAccountName",
        9: "serviceAccount",
        10: "nodeName",
        11: "hostNetwork",
        12: "hostPID",
        13: "hostIPC",
        16: "hostname",
        17: "subdomain",
        19: "schedulerName",
        24: "priorityClassName",
    },
    "Container": {
        1: "name",
        2: "image",
        3: "command",
        4: "args",
        5: "workingDir",
        6: "ports",
        7: "env",
        8: "resources",
        13: "terminationMessagePath",
        14: "imagePullPolicy",
        16: "stdin",
        17: "stdinOnce",
        18: "tty",
        20: "terminationMessagePolicy",
    },
    "ContainerPort": {1: "name", 2: "hostPort", 3: "containerPort", 4: "protocol", 5: "hostIP"},
    "EnvVar": {1: "name", 2: "value"},
    "ServiceAccount": {1: "metadata", 4: "automountServiceAccountToken"},
}
"""The fields of Kubernetes' kinds by their numbers; :mod:`meshgate.api.kubernetes_fields` has their types."""

_FORMS: Final[Mapping[tuple[str, str], str]] = {
    ("", TEXT): "text",
    ("", INT): "number",
    ("", BOOL): "flag",
    ("", INT_OR_TEXT): "IntOrString",
    ("list", TEXT): "text",
    ("map", TEXT): "texts",
    ("map", BYTES): "blobs",
}


def _numbered(message: str) -> dict[int, Field]:
    """The fields of one of Kubernetes' messages."""
    known = messages()[message].fields
    return {number: _field_of(known[name]) for number, name in _NUMBERS[message].items()}


def _field_of(field: kubernetes_fields.Field) -> Field:
    """A field in the form of this module; what is written by servers, or has no numbers here, is left out."""
    form = field.type if field.type in _NUMBERS else _FORMS.get((field.form, field.type), "Nothing")
    return Field(field.name, form, field.form == "list")


MESSAGES: Final[Mapping[str, Mapping[int, Field]]] = {
    "Unknown": {1: Field("type", "TypeMeta"), 2: Field("raw", "bytes"), 3: Field("encoding"), 4: Field("contentType")},
    "TypeMeta": {1: Field("apiVersion"), 2: Field("kind")},
    "Nothing": {},
    "IntOrString": {1: Field("type", "number"), 2: Field("number", "number"), 3: Field("text")},
    "DeleteOptions": {
        1: Field("gracePeriodSeconds", "number"),
        2: Field("preconditions", "Preconditions"),
        3: Field("orphanDependents", "flag"),
        4: Field("propagationPolicy"),
        5: Field("dryRun", repeated=True),
    },
    "Preconditions": {1: Field("uid"), 2: Field("resourceVersion")},
    "SelfSubjectReview": {1: Field("metadata", "ObjectMeta"), 2: Field("status", "Nothing")},
    "SelfSubjectRulesReview": {
        1: Field("metadata", "ObjectMeta"),
        2: Field("spec", "SelfSubjectRulesReviewSpec"),
        3: Field("status", "Nothing"),
    },
    "SelfSubjectRulesReviewSpec": {1: Field("namespace")},
    "SelfSubjectAccessReview": {
        1: Field("metadata", "ObjectMeta"),
        2: Field("spec", "SelfSubjectAccessReviewSpec"),
        3: Field("status", "Nothing"),
    },
    "SelfSubjectAccessReviewSpec": {
        1: Field("resourceAttributes", "ResourceAttributes"),
        2: Field("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: Field("namespace"),
        2: Field("verb"),
        3: Field("group"),
        4: Field("version"),
        5: Field("resource"),
        6: Field("subresource"),
        7: Field("name"),
    },
    "NonResourceAttributes": {1: Field("path"), 2: Field("verb")},
    **{name: _numbered(name) for name in _NUMBERS},
}
"""The messages by their names, and their fields by their numbers."""

_KINDS: Final = (
    "DeleteOptions",
    *("Namespace", "ConfigMap", "Secret", "Service", "Deployment"),
    *("ServiceAccount", "SelfSubjectReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview"),
)


def object_of(body: bytes) -> dict[str, Any]:
    """
    Read the object of a body, in the form of its JSON.

    :raises RefusedError: if it is none, or of a kind or with a field that has to come as JSON.
    """
    if not body.startswith(MAGIC):
        raise bad_request("the body does not begin as protobuf of Kubernetes does")
    unknown = _message("Unknown", body[len(MAGIC) :], 0)
    head = unknown.get("type", {})
    kind = head.get("kind", "")
    if kind not in _KINDS:
        raise RefusedError(415, f"the kind {kind[:60]!r} is not taken as protobuf: send JSON")
    return {**head, **_message(kind, unknown.get("raw", b""), 0)}


def _message(name: str, data: bytes, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise bad_request("the body is nested too deeply")
    fields, found = MESSAGES[name], dict[str, Any]()
    for number, wire_type, value in _fields(data):
        field = fields.get(number)
        if field is None:
            if value in (0, b""):
                continue  # as good as left out
            raise RefusedError(415, f"the field {number} of {name} is not taken as protobuf: send JSON")
        _add(found, field, _value(field, wire_type, value, depth))
    return found


def _add(found: dict[str, Any], field: Field, value: Any) -> None:
    if field.repeated:
        found.setdefault(field.name, []).append(value)
    elif field.form in ("texts", "blobs"):
        found.setdefault(field.name, {}).update(value)
    elif field.form == "Nothing" or (field.form == "text" and value == ""):
        return
    else:
        found[field.name] = value


def _value(field: Field, wire_type: int, value: int | bytes, depth: int) -> Any:
    if field.form in ("number", "flag"):
        if not isinstance(value, int) or wire_type != _VARINT:
            raise bad_request(f"{field.name} is no number")
        return bool(value) if field.form == "flag" else _signed(value)
    if not isinstance(value, bytes):
        raise bad_request(f"{field.name} is no text")
    if field.form == "bytes":
        return value
    if field.form == "text":
        return _text(value)
    if field.form in ("texts", "blobs"):
        return _entry(value, field.form)
    if field.form == "Nothing":
        return {}
    if field.form == "IntOrString":
        content = _message(field.form, value, depth + 1)
        return content.get("text", "") if content.get("type") else content.get("number", 0)
    return _message(field.form, value, depth + 1)


def _entry(data: bytes, form: str) -> dict[str, str]:
    """An entry of a map: the field 1 is its key, the field 2 its value."""
    key, value = "", b""
    for number, _, content in _fields(data):
        if not isinstance(content, bytes):
            raise bad_request("an entry of a map is no text")
        key, value = (_text(content), value) if number == 1 else (key, content)
    return {key: base64.b64encode(value).decode() if form == "blobs" else _text(value)}


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise bad_request("the body has a text that is not UTF-8") from None


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of a message: number, wire type, and value."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, at = _varint(data, at)
            yield number, wire_type, value
            continue
        if wire_type == _BYTES:
            size, at = _varint(data, at)
        elif wire_type in (_FIXED_32, _FIXED_64):
            size = 4 if wire_type == _FIXED_32 else 8
        else:
            raise bad_request(f"the wire type {wire_type} is not one of protobuf")
        if size > len(data) - at:
            raise bad_request("the body ends within a field")
        yield number, wire_type, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise bad_request("the body ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise bad_request("a number of the body is too long")
