"""
The types of objects that the API serves: their group, versions and names, and the columns that kubectl shows.

The versions of one type are one object: it is stored once, and answered in the version that the client asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshgate.resources.kinds.supported_kinds import ISTIO_GROUP, KINDS, Kind

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

CORE: Final = ""
"""The name of the group of Kubernetes' own kinds, which are served below ``/api/v1``."""


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column of the tables that kubectl prints.

    :ivar name: its title, which kubectl prints in capitals.
    :ivar path: the keys of the value, from the object down.
    :ivar priority: 0, or 1 for a column of ``-o wide`` alone.
    """

    name: str
    path: tuple[str, ...]
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ResourceType:
    """
    A type of objects.

    :ivar group: the API group; empty for the core group.
    :ivar versions: the served versions, the preferred one first.
    :ivar kind: the name in documents, such as ``VirtualService``.
    :ivar plural: the name in addresses, such as ``virtualservices``.
    :ivar namespaced: False for an object that belongs to no namespace.
    :ivar columns: the columns between NAME and AGE.
    :ivar reads: the kind that meshgate reads; None if objects of the type are only kept.
    """

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    columns: tuple[Column, ...] = ()
    reads: Kind | None = None

    @property
    def singular(self) -> str:
        """The name of one object, such as ``virtualservice``."""
        return self.kind.lower()

    @property
    def qualified_name(self) -> str:
        """The plural with the group, as ``virtualservices.networking.istio.io``: the key of the type."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def api_version(self, version: str) -> str:
        """The ``apiVersion`` of documents in a version."""
        return f"{self.group}/{version}" if self.group else version


_SPEC: Final = "spec"
_ISTIO_CATEGORIES: Final = ("istio-io", "networking-istio-io")
_ISTIO_NAMES: Final[Mapping[str, tuple[str, str, tuple[Column, ...]]]] = {
    "Gateway": ("gateways", "gw", ()),
    "VirtualService": (
        "virtualservices",
        "vs",
        (Column("Gateways", (_SPEC, "gateways")), Column("Hosts", (_SPEC, "hosts"))),
    ),
    "DestinationRule": ("destinationrules", "dr", (Column("Host", (_SPEC, "host")),)),
    "ServiceEntry": (
        "serviceentries",
        "se",
        (
            Column("Hosts", (_SPEC, "hosts")),
            Column("Location", (_SPEC, "location")),
            Column("Resolution", (_SPEC, "resolution")),
        ),
    ),
    "WorkloadEntry": ("workloadentries", "we", (Column("Address", (_SPEC, "address")),)),
}


def _istio_types() -> Iterator[ResourceType]:
    for name, (plural, short, columns) in _ISTIO_NAMES.items():
        kind = KINDS[name]
        versions = tuple(version.rpartition("/")[2] for version in kind.api_versions)
        yield ResourceType(ISTIO_GROUP, versions, name, plural, (short,), _ISTIO_CATEGORIES, True, columns, kind)


NAMESPACES: Final = ResourceType(
    CORE,
    ("v1",),
    "Namespace",
    "namespaces",
    ("ns",),
    namespaced=False,
    columns=(Column("Status", ("status", "phase")),),
)

TYPES: Final[tuple[ResourceType, ...]] = (
    NAMESPACES,
    ResourceType(CORE, ("v1",), "ConfigMap", "configmaps", ("cm",)),
    ResourceType(CORE, ("v1",), "Secret", "secrets", columns=(Column("Type", ("type",)),), reads=KINDS["Secret"]),
    ResourceType(
        CORE,
        ("v1",),
        "Service",
        "services",
        ("svc",),
        ("all",),
        columns=(Column("Type", (_SPEC, "type")), Column("Cluster-IP", (_SPEC, "clusterIP"))),
        reads=KINDS["Service"],
    ),
    *_istio_types(),
    ResourceType(
        "discovery.k8s.io",
        ("v1",),
        "EndpointSlice",
        "endpointslices",
        columns=(Column("AddressType", ("addressType",)),),
        reads=KINDS["EndpointSlice"],
    ),
)
"""All types. Groups are listed in the order in which kubectl looks a name up that several of them have."""

_BY_ADDRESS: Final = {(each.group, each.plural): each for each in TYPES}
_BY_KIND: Final = {(each.group, each.kind): each for each in TYPES}


def type_at(group: str, version: str, plural: str) -> ResourceType | None:
    """The type at an address, or None if it is not served in that version."""
    found = _BY_ADDRESS.get((group, plural))
    return found if found is not None and version in found.versions else None


def type_of_kind(group: str, kind: str) -> ResourceType | None:
    """The type of a kind of documents, or None if it is not served."""
    return _BY_KIND.get((group, kind))


def groups() -> Mapping[str, tuple[str, ...]]:
    """The versions of each group but the core, the preferred one first."""
    found: dict[str, tuple[str, ...]] = {}
    for each in TYPES:
        if each.group:
            found.setdefault(each.group, each.versions)
    return found


def types_in(group: str, version: str) -> Iterable[ResourceType]:
    """The types of a group that are served in a version."""
    return (each for each in TYPES if each.group == group and version in each.versions)


def value_at(object_: Any, path: Iterable[str]) -> Any:
    """The value below some keys of an object; None where one of them is missing."""
    for key in path:
        if not isinstance(object_, Mapping):
            return None
        object_ = object_.get(key)
    return object_
