"""
A client of the API for the commands: it finds the local gateway by its kubeconfig, and waits for each answer.

It blocks, since a command has nothing else to do meanwhile.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from meshgate import __version__
from meshgate.api.resource_types import TYPES, ResourceType

TIMEOUT: Final = 30.0
"""Seconds that the API may be silent, except in a watch."""

AGENT: Final = f"meshgate/{__version__}"

PAGE: Final = 500


class ApiClientError(Exception):
    """
    The API cannot be reached, or has refused a request. The message is a sentence for people.

    :ivar code: the HTTP status; 0 if there was no answer.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its HTTP status, its object, and its warnings."""

    code: int
    object: Any
    warnings: tuple[str, ...]


class ApiClient:
    """
    A client with the credentials of a kubeconfig file.

    :param kubeconfig: a file that the gateway has written.
    :raises ApiClientError: if the file cannot be used.
    """

    def __init__(self, kubeconfig: Path) -> None:
        try:
            content = YAML(typ="safe", pure=True).load(kubeconfig.read_text(encoding="utf-8"))
            cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
            address = urlsplit(cluster["server"])
            self._context = None
            if address.scheme == "https":
                authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
                self._context = ssl.create_default_context(cadata=authority)
            self.namespace = str(content["contexts"][0]["context"].get("namespace") or "default")
            self._token = str(user.get("token", ""))
        except FileNotFoundError:
            raise ApiClientError(
                f"there is no {kubeconfig}: the gateway writes it when its settings have a section api"
            ) from None
        except PermissionError:
            raise ApiClientError(
                f"{kubeconfig} belongs to the user of the gateway, and no other user may read it"
            ) from None
        except (OSError, YAMLError, LookupError, TypeError, AttributeError, ValueError) as error:
            raise ApiClientError(f"{kubeconfig} is no kubeconfig of a gateway: {error}") from None
        self._address = (address.hostname or "", address.port or 443)

    def get(self, path: str, **query: str) -> Any:
        """Read an object or a list."""
        return self.send("GET", path, query=query).object

    def pages(self, path: str, accept: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Read a list or a table of objects, page by page."""
        token = ""
        while True:
            page = {"limit": str(PAGE), **query, **({"continue": token} if token else {})}
            found = self.send("GET", path, accept=accept, query=page).object
            yield found
            token = found["metadata"].get("continue", "")
            if not token:
                return

    def list(self, type_: ResourceType, namespace: str = "", **query: str) -> Iterator[dict[str, Any]]:
        """Read all objects of a type, page by page; of all namespaces where none is given."""
        for found in self.pages(address(type_, namespace), "application/json", query):
            yield from ({"apiVersion": found["apiVersion"], "kind": type_.kind, **each} for each in found["items"])

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """
        Send a request, and read the answer.

        :raises ApiClientError: if there is none, or it is a refusal.
        """
        response = self._begin(method, path, body, content_type, accept, query or {}, TIMEOUT)
        try:
            content = response.read()
            found = json.loads(content) if content else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiClientError(f"the answer of the API cannot be read: {error}") from None
        warnings = tuple(map(_warning, response.headers.get_all("warning", [])))
        if response.status >= 400:
            raise ApiClientError(str(found.get("message")) if isinstance(found, dict) else "", response.status)
        return Reply(response.status, found, warnings)

    def watch(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """
        Yield the events of a watch, until it ends.

        :raises ApiClientError: if it cannot begin.
        """
        accept = query.pop("accept", "application/json")
        wanted = {**query, "watch": "1", "allowWatchBookmarks": "true"}
        response = self._begin("GET", path, None, "application/json", accept, wanted, None)
        if response.status >= 400:
            try:
                message = json.loads(response.read()).get("message")
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                message = response.reason
            raise ApiClientError(str(message), response.status)
        with suppress(OSError, http.client.HTTPException, ValueError):  # the gateway has ended in between
            while line := response.readline():
                yield json.loads(line)

    def _begin(
        self,
        method: str,
        path: str,
        body: Any,
        content_type: str,
        accept: str,
        query: Mapping[str, str],
        timeout: float | None,
    ) -> http.client.HTTPResponse:
        connection = (
            http.client.HTTPSConnection(*self._address, timeout=timeout, context=self._context)
            if self._context is not None
            else http.client.HTTPConnection(*self._address, timeout=timeout)
        )
        headers = {
            **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
            "User-Agent": AGENT,
            "Accept": accept,
            "Content-Type": content_type,
        }
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, content, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            host, port = self._address
            raise ApiClientError(f"the API at {host}:{port} does not answer ({error}): does the gateway run?") from None


def _warning(header: str) -> str:
    """The text of a Warning header (RFC 7234, section 5.5)."""
    text = header.partition(" ")[2].partition(" ")[2].strip()
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\") if text.startswith('"') else text


def address(type_: ResourceType, namespace: str = "", name: str = "") -> str:
    """The address of an object, or of the objects of a namespace, or of all of a type."""
    root = f"/apis/{type_.group}/{type_.versions[0]}" if type_.group else f"/api/{type_.versions[0]}"
    within = f"/namespaces/{namespace}" if type_.namespaced and namespace else ""
    return f"{root}{within}/{type_.plural}{f'/{name}' if name else ''}"


def type_named(text: str) -> ResourceType | None:
    """The type with a name as people write it: plural, singular, short, or with its group."""
    wanted = text.lower()
    for type_ in TYPES:
        if wanted in (type_.plural, type_.singular, type_.qualified_name, *type_.short_names):
            return type_
    return None
