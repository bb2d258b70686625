"""
A request and its answer, apart from how they come over the network.

:class:`ApiRequest` reads what a client sends: the address, the query, the headers, the body. Whatever a client sends is
either understood or refused with a sentence; nothing here raises anything but a :class:`RefusedError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from meshgate.api import request_bodies
from meshgate.api.refusal import RefusedError, bad_request
from meshgate.api.request_bodies import duplicate_fields, read_json
from meshgate.api.store_interface import Author
from meshgate.resources.yaml.document import YamlError, iterate_documents

JSON_TYPE: Final = "application/json"

_TABLE: Final = re.compile(r"application/json;(?=.*\bas=Table\b)(?=.*\bg=meta\.k8s\.io\b).*\bv=(v1beta1|v1)\b.*")
_METADATA: Final = re.compile(
    r"application/json;(?=.*\bas=PartialObjectMetadata(?:List)?\b)(?=.*\bg=meta\.k8s\.io\b).*\bv=(v1beta1|v1)\b.*"
)
_DISCOVERY: Final = re.compile(r"application/json;(?=.*\bas=APIGroupDiscoveryList\b).*\bv=(v2beta1|v2)\b.*")
_JSON_TYPES: Final = (JSON_TYPE, "*/*")
_YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml")
_ANY: Final = ("application/json", "application/*", "*/*")

TRUE: Final = ("1", "t", "true", "True", "TRUE")


LONGEST_WARNING: Final = 1_000
"""The number of characters of a warning; the rest is cut off."""

LONGEST_WARNINGS: Final = 8_000
"""The number of characters of all warnings in one answer, which clients take in its head."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """
    A request.

    :ivar path: the segments of the address, decoded.
    :ivar query: the last value of each parameter.
    :ivar headers: the headers by their names in lower case.
    :ivar writes: True if the user may write.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: str = ""
    writes: bool = True

    @property
    def author(self) -> Author:
        """The user and the program that sent the request."""
        return Author(self.user, self.headers.get("user-agent", "")[:200])

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters; JSON where the client names none."""
        return self.headers.get("content-type", JSON_TYPE).partition(";")[0].strip().lower() or JSON_TYPE

    def flag(self, name: str) -> bool:
        """True if a parameter of the query says so."""
        return self.query.get(name, "") in TRUE

    def number(self, name: str, default: int = 0) -> int:
        """
        A parameter that is a number.

        :raises RefusedError: if it is none.
        """
        text = self.query.get(name, "")
        if not text:
            return default
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise bad_request(f"{name} has to be a whole number, not {text[:40]!r}")
        return int(text)

    def object(self) -> Any:
        """
        The body, which is an object as JSON, YAML or protobuf.

        :raises RefusedError: if it is not.
        """
        if self.content_type == request_bodies.MEDIA_TYPE:
            return request_bodies.object_of(self.body)
        if self.content_type in _YAML_TYPES:
            return self.yaml()
        if self.content_type not in _JSON_TYPES:
            raise RefusedError(415, f"the body has to be {JSON_TYPE} or YAML, not {self.content_type[:60]!r}")
        return self.json()

    def json(self) -> Any:
        """
        The body, which is JSON.

        :raises RefusedError: if it is not.
        """
        try:
            return read_json(self.body)
        except UnicodeDecodeError:
            raise bad_request("the body is not JSON: it is not UTF-8") from None
        except ValueError as error:
            raise bad_request(f"the body is not JSON: {str(error)[:200]}") from None

    def duplicate_fields(self) -> tuple[str, ...]:
        """The names of the fields that the body has twice; none where it is no JSON."""
        return duplicate_fields(self.body)

    def yaml(self) -> Any:
        """
        The body, which is one document of YAML, of which JSON is a part.

        :raises RefusedError: if it is not.
        """
        if self.body.lstrip()[:1] == b"{":
            with suppress(ValueError):
                return read_json(self.body)
        try:
            documents = [document.value for document in iterate_documents(self.body)]
            if len(documents) != 1:
                raise bad_request(f"the body has {len(documents)} documents, not one")
            return _plain(documents[0])
        except YamlError as error:
            where = f"line {error.line}, column {error.column}"
            raise bad_request(f"the body is not YAML: {where}: {error.message[:200]}") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise bad_request(f"the body is not YAML that JSON can express: {str(error)[:200]}") from None

    def table_version(self) -> str:
        """The version of the Table that the client prefers to the objects; empty if it wants the objects."""
        return self._preferred(_TABLE)

    def metadata_version(self) -> str:
        """The version of the PartialObjectMetadata that the client prefers; empty if it wants whole objects."""
        return self._preferred(_METADATA)

    def discovery_version(self) -> str:
        """The version of the aggregated discovery that the client prefers; empty if it wants the plain one."""
        return self._preferred(_DISCOVERY)

    def _preferred(self, pattern: re.Pattern[str]) -> str:
        """The version in the first accepted form that is served, if that is one of a pattern."""
        for form in self.headers.get("accept", "*/*").split(","):
            plain = form.strip()
            if match := pattern.fullmatch(plain):
                return match.group(1)
            if plain.partition(";")[0] in _ANY and ";as=" not in plain:
                return ""
        return ""

    def prefers(self, names: Container[str]) -> bool:
        """True if the client accepts one of some media types, and names no form of JSON before it."""
        for form in self.headers.get("accept", "*/*").split(","):
            plain = form.partition(";")[0].strip()
            if plain in names or plain in _ANY:
                return plain in names
        return False

    def check_accept(self) -> None:
        """
        Check that the client takes JSON.

        :raises RefusedError: if it does not.
        """
        accepted = [form.strip().partition(";")[0] for form in self.headers.get("accept", "*/*").split(",")]
        if not any(form in _ANY for form in accepted):
            raise RefusedError(406, f"only {JSON_TYPE} is served")


def _plain(value: Any) -> Any:
    """A value of a YAML document as JSON has it."""
    return read_json(json.dumps(value, allow_nan=False, default=str).encode())


@dataclass(frozen=True, slots=True)
class Answer:
    """
    An answer that is complete.

    :ivar body: an object that becomes JSON, or bytes as they are sent.
    """

    body: Any
    code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def warning_headers(self) -> list[str]:
        """
        The values of the headers of the warnings, each of limited length, and not too long in all: quoted texts (RFC
        9110, section 5.6.4) without what a header cannot have.
        """
        values, left = [], LONGEST_WARNINGS
        for number, warning in enumerate(self.warnings):
            text = "".join(each if each.isprintable() else " " for each in warning[:LONGEST_WARNING])
            if len(text) > left:
                left_out = len(self.warnings) - number
                values.append(f'299 - "{left_out} further warnings are left out"')
                break
            left -= len(text)
            quoted = text.replace("\\", "\\\\").replace('"', '\\"')
            values.append(f'299 - "{quoted}"')
        return values

    def content(self) -> bytes:
        """The bytes of the body."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, separators=(",", ":")).encode()
