"""
The answers that depend on no object: version, discovery, OpenAPI, and a user's own name and rights.

By the documents of discovery, plain and aggregated (KEP-3352), clients find out what the API serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshgate import __version__
from meshgate.api import openapi
from meshgate.api.access import access_review, rules_review
from meshgate.api.requests import JSON_TYPE, Answer, ApiRequest
from meshgate.api.resource_types import ALL_VERBS, CORE, READING_VERBS, ResourceType, groups, types_in
from meshgate.api.store_interface import value_at
from meshgate.api.target import no_such_address


def core_versions(address: str) -> dict[str, Any]:
    """
    The versions of the core group, below ``/api``.

    :param address: host and port of the API, as clients reach it.
    """
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def group_list() -> dict[str, Any]:
    """The groups but the core, below ``/apis``."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups()]}


def group(name: str) -> dict[str, Any] | None:
    """One group, or None if it is not served."""
    if name not in groups():
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}


def _group(name: str) -> dict[str, Any]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in groups()[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(group_name: str, version: str) -> dict[str, Any] | None:
    """The types of a group in a version, or None if there are none."""
    types = list(types_in(group_name, version))
    if not types:
        return None
    name = f"{group_name}/{version}" if group_name else version
    resources = [_resource(each) for each in types]
    resources += [_subresource(each, name) for each in types for name in each.subresources]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}


def _resource(type_: ResourceType) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": type_.plural,
        "singularName": type_.singular,
        "namespaced": type_.namespaced,
        "kind": type_.kind,
        "verbs": _verbs(type_),
    }
    if type_.short_names:
        found["shortNames"] = list(type_.short_names)
    if type_.categories:
        found["categories"] = list(type_.categories)
    return found


def _verbs(type_: ResourceType) -> list[str]:
    """The verbs of a type. Without verbs, it is found by its name, and listed nowhere."""
    if not type_.listed:
        return []
    return list(READING_VERBS if type_.instead else ALL_VERBS)


def _subresource(type_: ResourceType, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": f"{type_.plural}/{name}",
        "singularName": "",
        "namespaced": True,
        "kind": type_.kind,
        "verbs": ["get"],
    }
    if name == "scale":
        found.update(group="autoscaling", version="v1", kind="Scale", verbs=["get", "patch", "update"])
    return found


def aggregated(core: bool, version: str) -> dict[str, Any]:
    """
    All types of the core group, or of all others, in one document.

    :param core: True for ``/api``.
    :param version: the version of the document: ``v2`` or ``v2beta1``.
    """
    names = {CORE: ("v1",)} if core else groups()
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [
                {
                    "version": each,
                    "resources": [_aggregated_resource(type_, each) for type_ in types_in(name, each)],
                    "freshness": "Current",
                }
                for each in versions
            ],
        }
        for name, versions in names.items()
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _aggregated_resource(type_: ResourceType, version: str) -> dict[str, Any]:
    plain = _resource(type_)
    found: dict[str, Any] = {
        "resource": plain["name"],
        "responseKind": {"group": type_.group, "version": version, "kind": type_.kind},
        "scope": "Namespaced" if type_.namespaced else "Cluster",
        "singularResource": plain["singularName"],
        "verbs": plain["verbs"],
    }
    found.update({key: plain[key] for key in ("shortNames", "categories") if key in plain})
    if type_.subresources:
        found["subresources"] = [_aggregated_subresource(type_, each, version) for each in type_.subresources]
    return found


def _aggregated_subresource(type_: ResourceType, name: str, version: str) -> dict[str, Any]:
    plain = _subresource(type_, name)
    kind = {"group": plain.get("group", type_.group), "version": plain.get("version", version), "kind": plain["kind"]}
    return {"subresource": name, "responseKind": kind, "verbs": plain["verbs"]}


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
            return aggregated(core, version), 200, {"content-type": form}
        return (core_versions(address) if core else group_list()), 200, {}
    found = None
    if len(path) == 2:
        found = resource_list("", path[1]) if path[0] == "api" else group(path[1])
    elif len(path) == 3 and path[0] == "apis":
        found = resource_list(path[1], path[2])
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
    protobuf = request.prefers(openapi.PROTOBUF_NAMES)
    content = openapi.protobuf_v2() if protobuf else openapi.json_v2()
    headers = {
        "etag": f'"{openapi.hash_of(content)}"',
        "vary": "Accept",
        "content-type": openapi.PROTOBUF_TYPE if protobuf else JSON_TYPE,
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
