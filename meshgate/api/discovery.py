"""The documents by which clients find out what the API serves: plain, and aggregated (KEP-3352)."""

from __future__ import annotations

from typing import Any

from meshgate.api.resource_types import ALL_VERBS, CORE, READING_VERBS, ResourceType, groups, types_in


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
