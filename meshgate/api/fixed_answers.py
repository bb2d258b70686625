"""The answers that depend on no object: version, discovery, OpenAPI, and a user's own name and rights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshgate import __version__
from meshgate.api import discovery, openapi, openapi_v2
from meshgate.api.access import access_review, rules_review
from meshgate.api.requests import JSON_TYPE, Answer, ApiRequest
from meshgate.api.resource_types import value_at
from meshgate.api.target import no_such_address

KUBERNETES: Final = ("1", "33")
"""The version of Kubernetes' API that clients are told, some of which refuse or warn of others."""


def version_document() -> dict[str, str]:
    """The version of the API, and of meshgate."""
    major, minor = KUBERNETES
    version = f"v{major}.{minor}.0+meshgate.{__version__}"
    unknown = dict.fromkeys(("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler"), "")
    return {"major": major, "minor": minor, "gitVersion": version, **unknown, "platform": "meshgate"}


def discovered(request: ApiRequest, address: str) -> tuple[Any, int, dict[str, str]] | None:
    """
    The answer to a question about groups, versions and types: its document, status and headers; None if it is none.

    :param address: host and port of the API, as the client reaches it.
    """
    path, version = request.path, request.discovery_version()
    if path in (("api",), ("apis",)):
        core = path == ("api",)
        if version:
            form = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            return discovery.aggregated(core, version), 200, {"content-type": form}
        return (discovery.core_versions(address) if core else discovery.group_list()), 200, {}
    found = None
    if len(path) == 2:
        found = discovery.resource_list("", path[1]) if path[0] == "api" else discovery.group(path[1])
    elif len(path) == 3 and path[0] == "apis":
        found = discovery.resource_list(path[1], path[2])
    return None if found is None else (found, 200, {})


def openapi_answer(request: ApiRequest) -> Answer:
    """
    A document of OpenAPI.

    :raises RefusedError: if there is none at this address.
    """
    if request.path == ("openapi", "v2"):
        return _version_2(request)
    if request.path == ("openapi", "v3"):
        return Answer(openapi.index())
    name = "/".join(request.path[2:])
    document = openapi.document(name) if request.path[:2] == ("openapi", "v3") else None
    if document is None:
        raise no_such_address()
    digest = openapi.digest(name)
    headers = {"etag": f'"{digest}"', "vary": "Accept"}
    if request.query.get("hash") == digest:
        headers["cache-control"] = "public, immutable"
    if _has(request, headers["etag"]):
        return Answer(b"", 304, headers)
    return Answer(document, 200, headers)


def _version_2(request: ApiRequest) -> Answer:
    """The document of version 2, as JSON unless the client prefers protobuf."""
    protobuf = request.prefers(openapi_v2.PROTOBUF_NAMES)
    content = openapi_v2.as_protobuf() if protobuf else openapi_v2.as_json()
    headers = {
        "etag": f'"{openapi.hash_of(content)}"',
        "vary": "Accept",
        "content-type": openapi_v2.PROTOBUF_TYPE if protobuf else JSON_TYPE,
    }
    return Answer(b"", 304, headers) if _has(request, headers["etag"]) else Answer(content, 200, headers)


def _has(request: ApiRequest, etag: str) -> bool:
    """True if the client has what it asks for already (RFC 9110, section 13.1.2)."""
    given = request.headers.get("if-none-match", "")
    return etag in (each.strip().removeprefix("W/") for each in given.split(","))


def answered_review(request: ApiRequest) -> dict[str, Any] | None:
    """The answer to a question about the user's own name and rights; None if it is none."""
    if request.method != "POST" or len(request.path) != 4 or request.path[0] != "apis":
        return None
    group, version, plural = request.path[1:]
    asked: dict[str, Any] = {}
    if (group, plural) == ("authentication.k8s.io", "selfsubjectreviews"):
        groups = ["meshgate:admins" if request.writes else "meshgate:readers", "system:authenticated"]
        status: dict[str, Any] = {"userInfo": {"username": request.user, "groups": groups}}
        kind = "SelfSubjectReview"
    elif (group, plural) == ("authorization.k8s.io", "selfsubjectaccessreviews"):
        spec = value_at(request.object(), ("spec",))
        status, kind = access_review(request, spec), "SelfSubjectAccessReview"
        asked = {"spec": spec if isinstance(spec, Mapping) else {}}
    elif (group, plural) == ("authorization.k8s.io", "selfsubjectrulesreviews"):
        status, kind = rules_review(request), "SelfSubjectRulesReview"
        asked = {"spec": {}}
    else:
        return None
    head = {"kind": kind, "apiVersion": f"{group}/{version}", "metadata": {"creationTimestamp": None}}
    return {**head, **asked, "status": status}
