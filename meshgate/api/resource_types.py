"""
The types of objects that the API serves: their group, versions and names, and the columns that kubectl shows.

The versions of one type are one object: it is stored once, and answered in the version that the client asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshgate.api.absent_types import ABSENT_TYPES
from meshgate.api.store_interface import value_at
from meshgate.resources.kinds.supported_kinds import ISTIO_GROUP, KINDS, Kind

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

READING_VERBS: Final = ("get", "list", "watch")

CORE: Final = ""
"""The name of the group of Kubernetes' own kinds, which are served below ``/api/v1``."""


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column of the tables that kubectl prints.

    :ivar name: its title, which kubectl prints in capitals.
    :ivar path: the keys of the value, from the object down.
    :ivar text: makes the value of the object instead.
    :ivar is_time: True if the value is a time, of which the table shows how long ago it was.
    :ivar priority: 0, or 1 for a column of ``-o wide`` alone.
    """

    name: str
    path: tuple[str, ...] = ()
    text: Callable[[Mapping[str, Any]], Any] | None = None
    is_time: bool = False
    priority: int = 0

    def value(self, object_: Mapping[str, Any]) -> Any:
        """The value of an object."""
        return self.text(object_) if self.text is not None else value_at(object_, self.path)


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
    :ivar wide: the columns after AGE, of ``-o wide`` alone.
    :ivar unnamed: True for a type whose tables have neither NAME nor AGE.
    :ivar reads: the kind that meshgate reads; None if objects of the type are only kept.
    :ivar subresources: the views of an object that have addresses of their own, besides ``status``.
    :ivar fields: the fields that lists can be selected by, besides name and namespace.
    :ivar instead: for a type that nobody can write, why, and what to do instead; empty for all others.
    :ivar listed: False for a type that has no objects here, and that lists of types leave out.
    """

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    columns: tuple[Column, ...] = ()
    wide: tuple[Column, ...] = ()
    unnamed: bool = False
    reads: Kind | None = None
    subresources: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    instead: str = ""
    listed: bool = True

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
_ISTIO_COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "Gateway": (),
    "VirtualService": (Column("Gateways", (_SPEC, "gateways")), Column("Hosts", (_SPEC, "hosts"))),
    "DestinationRule": (Column("Host", (_SPEC, "host")),),
    "ServiceEntry": (
        Column("Hosts", (_SPEC, "hosts")),
        Column("Location", (_SPEC, "location")),
        Column("Resolution", (_SPEC, "resolution")),
    ),
    "WorkloadEntry": (Column("Address", (_SPEC, "address")),),
}


def _istio_types() -> Iterator[ResourceType]:
    for name, columns in _ISTIO_COLUMNS.items():
        kind = KINDS[name]
        versions = tuple(version.rpartition("/")[2] for version in kind.api_versions)
        names = (name, kind.plural, (kind.short_name,))
        yield ResourceType(ISTIO_GROUP, versions, *names, _ISTIO_CATEGORIES, columns=columns, reads=kind)


NAMESPACES: Final = ResourceType(
    CORE,
    ("v1",),
    "Namespace",
    "namespaces",
    ("ns",),
    namespaced=False,
    columns=(Column("Status", ("status", "phase")),),
    fields=("status.phase",),
)


def _involved(event: Mapping[str, Any]) -> str:
    kind, name = (value_at(event, ("involvedObject", key)) or "" for key in ("kind", "name"))
    return f"{str(kind).lower()}/{name}"


def _external_addresses(service: Mapping[str, Any]) -> str:
    found = value_at(service, ("status", "loadBalancer", "ingress")) or ()
    return ",".join(each.get("ip") or each.get("hostname", "") for each in found) or "<none>"


def _ports(service: Mapping[str, Any]) -> str:
    ports = [each for each in value_at(service, (_SPEC, "ports")) or () if isinstance(each, Mapping)]
    found = ((each.get("port"), each.get("nodePort"), each.get("protocol", "TCP")) for each in ports)
    texts = (f"{port}:{node}/{protocol}" if node else f"{port}/{protocol}" for port, node, protocol in found)
    return ",".join(texts) or "<none>"


def _container_statuses(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(value_at(pod, ("status", "containerStatuses")) or ())


def _ready_containers(pod: Mapping[str, Any]) -> str:
    found = _container_statuses(pod)
    wanted = value_at(pod, (_SPEC, "containers"))
    return f"{sum(bool(each.get('ready')) for each in found)}/{len(wanted) if isinstance(wanted, list) else 0}"


def _pod_state(pod: Mapping[str, Any]) -> str:
    for each in _container_statuses(pod):
        if reason := value_at(each, ("state", "waiting", "reason")):
            return str(reason)
    return str(value_at(pod, ("status", "phase")) or "Pending")


def _restarts(pod: Mapping[str, Any]) -> str:
    return str(sum(each.get("restartCount", 0) for each in _container_statuses(pod)))


def _count(object_: Mapping[str, Any], name: str) -> int:
    return int(value_at(object_, ("status", name)) or 0)


def _replicas(object_: Mapping[str, Any]) -> int:
    wanted = value_at(object_, (_SPEC, "replicas"))
    return wanted if isinstance(wanted, int) else 1


EVENTS: Final = ResourceType(
    CORE,
    ("v1",),
    "Event",
    "events",
    ("ev",),
    columns=(
        Column("Last Seen", ("lastTimestamp",), is_time=True),
        Column("Type", ("type",)),
        Column("Reason", ("reason",)),
        Column("Object", text=_involved),
        Column("Message", ("message",)),
    ),
    unnamed=True,
    fields=(
        *(f"involvedObject.{each}" for each in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
        *("reason", "type", "source", "reportingComponent"),
    ),
)


def _entries(object_: Mapping[str, Any]) -> str:
    return str(sum(len(object_.get(each) or ()) for each in ("data", "binaryData")))


def _containers(keys: Iterable[str], name: str) -> Callable[[Mapping[str, Any]], str]:
    """The values of a field of all containers below some keys."""
    path = (*keys, "containers")

    def text(object_: Mapping[str, Any]) -> str:
        found = value_at(object_, path)
        return ",".join(str(each.get(name, "")) for each in found or () if isinstance(each, Mapping))

    return text


def _labels(*path: str) -> Callable[[Mapping[str, Any]], str]:
    """The labels below some keys, as a selector."""

    def text(object_: Mapping[str, Any]) -> str:
        found = value_at(object_, path)
        labels = found.items() if isinstance(found, Mapping) else ()
        return ",".join(f"{key}={value}" for key, value in labels) or "<none>"

    return text


def _none(object_: Mapping[str, Any]) -> str:
    """The cell of a property that no object has here."""
    return "<none>"


_TEMPLATE: Final = (_SPEC, "template", _SPEC)
_WORKLOAD: Final = (
    Column("Containers", text=_containers(_TEMPLATE, "name"), priority=1),
    Column("Images", text=_containers(_TEMPLATE, "image"), priority=1),
    Column("Selector", text=_labels(_SPEC, "selector", "matchLabels"), priority=1),
)


def _slice_ports(slice_: Mapping[str, Any]) -> str:
    return ",".join(str(each.get("port", "*")) for each in slice_.get("ports") or ()) or "<unset>"


def _slice_addresses(slice_: Mapping[str, Any]) -> str:
    return ",".join(address for each in slice_.get("endpoints") or () for address in each["addresses"]) or "<unset>"


def _endpoints(endpoints: Mapping[str, Any]) -> str:
    found = [
        f"{address.get('ip')}:{port.get('port')}"
        for subset in endpoints.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    more = f" + {len(found) - _MOST_ENDPOINTS} more..." if len(found) > _MOST_ENDPOINTS else ""
    return (",".join(found[:_MOST_ENDPOINTS]) or "<none>") + more


_MOST_ENDPOINTS: Final = 3

NODES: Final = ResourceType(
    CORE,
    ("v1",),
    "Node",
    "nodes",
    ("no",),
    namespaced=False,
    columns=(Column("Status", text=lambda node: "Ready"), Column("Roles", text=_none)),
    wide=(
        Column("Version", ("status", "nodeInfo", "kubeletVersion")),
        Column("Internal-IP", text=lambda node: node["status"]["addresses"][0]["address"], priority=1),
    ),
    instead="this machine is the only node, and its pods are services of one process",
)

DEFINITIONS: Final = ResourceType(
    *("apiextensions.k8s.io", ("v1",), "CustomResourceDefinition", "customresourcedefinitions", ("crd", "crds")),
    namespaced=False,
    columns=(Column("Name", ("metadata", "name")), Column("Created At", ("metadata", "creationTimestamp"))),
    unnamed=True,
    instead="the kinds of this API, and their fields, come with meshgate",
)

TYPES: Final[tuple[ResourceType, ...]] = (
    NAMESPACES,
    EVENTS,
    NODES,
    ResourceType(
        *(CORE, ("v1",), "ServiceAccount", "serviceaccounts", ("sa",)),
        columns=(Column("Secrets", text=lambda account: str(len(account.get("secrets") or ()))),),
    ),
    ResourceType(CORE, ("v1",), "ConfigMap", "configmaps", ("cm",), columns=(Column("Data", text=_entries),)),
    ResourceType(
        *(CORE, ("v1",), "Secret", "secrets"),
        columns=(Column("Type", ("type",)), Column("Data", text=_entries)),
        reads=KINDS["Secret"],
        fields=("type",),
    ),
    ResourceType(
        *(CORE, ("v1",), "Endpoints", "endpoints", ("ep",)),
        columns=(Column("Endpoints", text=_endpoints),),
        reads=KINDS["Endpoints"],
    ),
    ResourceType(
        CORE,
        ("v1",),
        "Pod",
        "pods",
        ("po",),
        ("all",),
        columns=(
            Column("Ready", text=_ready_containers),
            Column("Status", text=_pod_state),
            Column("Restarts", text=_restarts),
        ),
        wide=(
            Column("IP", ("status", "podIP"), priority=1),
            Column("Node", (_SPEC, "nodeName"), priority=1),
            Column("Nominated Node", text=_none, priority=1),
            Column("Readiness Gates", text=_none, priority=1),
        ),
        reads=KINDS["Pod"],
        subresources=("log",),
        fields=("status.phase", "status.podIP", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName"),
    ),
    ResourceType(
        CORE,
        ("v1",),
        "Service",
        "services",
        ("svc",),
        ("all",),
        columns=(
            Column("Type", (_SPEC, "type")),
            Column("Cluster-IP", text=lambda object_: value_at(object_, (_SPEC, "clusterIP")) or "<none>"),
            Column("External-IP", text=_external_addresses),
            Column("Port(s)", text=_ports),
        ),
        wide=(Column("Selector", text=_labels(_SPEC, "selector"), priority=1),),
        fields=("spec.type", "spec.clusterIP"),
        reads=KINDS["Service"],
    ),
    ResourceType(
        "apps",
        ("v1",),
        "Deployment",
        "deployments",
        ("deploy",),
        ("all",),
        columns=(
            Column("Ready", text=lambda object_: f"{_count(object_, 'readyReplicas')}/{_replicas(object_)}"),
            Column("Up-to-date", text=lambda object_: str(_count(object_, "updatedReplicas"))),
            Column("Available", text=lambda object_: str(_count(object_, "availableReplicas"))),
        ),
        wide=_WORKLOAD,
        reads=KINDS["Deployment"],
        subresources=("scale",),
    ),
    ResourceType(
        "apps",
        ("v1",),
        "ReplicaSet",
        "replicasets",
        ("rs",),
        ("all",),
        columns=(
            Column("Desired", text=lambda object_: str(_replicas(object_))),
            Column("Current", text=lambda object_: str(_count(object_, "replicas"))),
            Column("Ready", text=lambda object_: str(_count(object_, "readyReplicas"))),
        ),
        wide=_WORKLOAD,
        subresources=("scale",),
        fields=("status.replicas",),
    ),
    *_istio_types(),
    ResourceType(
        "discovery.k8s.io",
        ("v1",),
        "EndpointSlice",
        "endpointslices",
        columns=(
            Column("AddressType", ("addressType",)),
            Column("Ports", text=_slice_ports),
            Column("Endpoints", text=_slice_addresses),
        ),
        reads=KINDS["EndpointSlice"],
    ),
    DEFINITIONS,
    *(
        ResourceType(
            *(each.group, each.versions, each.kind, each.plural, each.short_names),
            namespaced=each.namespaced,
            instead=each.instead,
            listed=False,
        )
        for each in ABSENT_TYPES
    ),
)
"""The types. Groups are listed in the order in which kubectl looks a name up that several of them have."""

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
            found[each.group] = tuple(dict.fromkeys((*found.get(each.group, ()), *each.versions)))
    return found


def types_in(group: str, version: str) -> Iterable[ResourceType]:
    """The types of a group that are served in a version."""
    return (each for each in TYPES if each.group == group and version in each.versions)
