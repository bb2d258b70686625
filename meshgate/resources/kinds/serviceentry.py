"""ServiceEntry: a service that Kubernetes does not know (Istio, networking/v1alpha3/service_entry.proto)."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import Field

from meshgate.resources import names
from meshgate.resources.fault import Fault, FieldPath, chain_rules, duplicate_faults, sound_items
from meshgate.resources.kinds.shared_fields import (
    EXPORTED_TO_ALL,
    HTTP_PROTOCOLS,
    STREAM_PROTOCOLS,
    TLS_PROTOCOLS,
    ExportTo,
    OptionalPortProtocol,
    export_faults,
    malformed_labels,
    selector_faults,
)
from meshgate.resources.kinds.workloadentry import (
    WorkloadEntrySpec,
    domain_faults,
    ip_faults,
    lookup_faults,
    missing_address_faults,
    port_name_faults,
    single_port_faults,
    unix_faults,
)
from meshgate.resources.model import Items, Labels, ListKeys, Model, OptionalPortNumber, PortNumber, by_number
from meshgate.resources.names import DnsLabel, Subnet, WildcardDomain
from meshgate.resources.problem import Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import quoted, spelling_hint


class Location(enum.StrEnum):
    """The location of the service, inside the mesh or outside, in the order of protobuf's numbers."""

    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(enum.StrEnum):
    """The source of the service's addresses, in the order of protobuf's numbers."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


class ServiceEntryPort(Model):
    """A port of the service."""

    number: PortNumber = Field(description="1 to 65535")
    name: DnsLabel = Field(description="name, unique in the ServiceEntry")
    protocol: OptionalPortProtocol = Field(default="", description="its protocol; empty to detect it")
    target_port: OptionalPortNumber = Field(default=0, description="the endpoints' port; 0 for the same number")


class WorkloadSelector(Model):
    """Selects workloads of the namespace."""

    labels: Labels = Field(default=Labels(), description="labels that a workload must have")


class ServiceEntrySpec(Model):
    """The spec of a ServiceEntry."""

    hosts: Annotated[Items[WildcardDomain], Field(min_length=1, max_length=256)] = Field(
        description="names of the service"
    )
    addresses: Items[Subnet] = Field(default=(), description="virtual IP addresses or networks of the service")
    ports: Annotated[Items[ServiceEntryPort], ListKeys(("number",))] = Field(default=(), description="its ports")
    location: Annotated[Location, Field(strict=False), by_number(Location)] = Field(
        default=Location.MESH_EXTERNAL, description="inside the mesh or outside"
    )
    resolution: Annotated[Resolution, Field(strict=False), by_number(Resolution)] = Field(
        default=Resolution.NONE,
        description="where addresses come from; STATIC from endpoints, DNS by resolving names; DYNAMIC_DNS is not "
        "served",
    )
    endpoints: Items[WorkloadEntrySpec] = Field(
        default=(), description="the endpoints; without them DNS resolves the hosts"
    )
    workload_selector: WorkloadSelector | None = Field(default=None, description="selects the endpoints by labels")
    export_to: ExportTo = Field(
        default=EXPORTED_TO_ALL, description="namespaces that may see it: * for all, . for its own, ~ for none"
    )
    subject_alt_names: Items[str] = Field(default=(), description="names of which the servers must have one")


_BY_DNS: Final = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
#: Protocols whose connections carry a name that DYNAMIC_DNS can resolve.
_DYNAMIC: Final = ("HTTP", "TLS", "GRPC", "HTTP2")
_AUTO_ALLOCATE_LABEL: Final = "networking.istio.io/enable-autoallocate-ip"
_WAYPOINT_LABEL: Final = "istio.io/use-waypoint"


def faults(spec: ServiceEntrySpec, key: ResourceKey) -> Iterator[Fault]:
    """The rules between the fields of a ServiceEntry (Istio, validation.go, ValidateServiceEntry)."""
    ports = ("spec", "ports")
    yield from chain_rules(
        _wildcard_faults(spec),
        _lookup_faults(spec),
        _selector_faults(spec),
        _endpoint_choice_faults(spec),
        _unused_selector_faults(spec),
        _network_faults(spec),
        duplicate_faults(spec.ports, lambda port: port.name, ports, ("name",), "port"),
        duplicate_faults(spec.ports, lambda port: port.number, ports, ("number",), "port"),
        _several_hosts_faults(spec),
        _shared_address_faults(spec),
        _dynamic_faults(spec),
        _endpoint_number_faults(spec),
        _endpoints_faults(spec),
        export_faults(spec.export_to, key.namespace, ("spec", "exportTo"), nobody_allowed=True),
    )


def label_faults(spec: ServiceEntrySpec, labels: Mapping[str, str]) -> Iterator[Fault]:
    """The rules between the fields of a ServiceEntry and its own labels."""
    yield from chain_rules(_unaddressed_faults(spec, labels), _waypoint_faults(spec, labels))


def _wildcard_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    for index, host in sound_items(spec.hosts):
        path = ("spec", "hosts", index)
        if host == "*":
            yield Fault(path, "MG1060", "a ServiceEntry cannot be for every host", "name a host, or *.example.com")
        elif "*" in host and not host.startswith("*."):
            hint = f"write {quoted('*.' + host[1:].lstrip('-'))}, or the names"
            yield Fault(path, "MG1089", f"{quoted(host)} has a wildcard for a part of a label", hint, Severity.WARNING)


def _lookup_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    if spec.resolution not in _BY_DNS or spec.endpoints:
        return
    for index, host in sound_items(spec.hosts):
        if host != "*" and names.fqdn(host):
            yield Fault(
                ("spec", "hosts", index),
                "MG1086",
                f"{quoted(host)} cannot be looked up in the DNS",
                "name a host, or list endpoints; resolution: NONE is for sidecars alone",
            )


def _selector_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    if spec.workload_selector:
        path = ("spec", "workloadSelector", "labels")
        yield from selector_faults(spec.workload_selector.labels, path, "every workload of the namespace")


def _endpoint_choice_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    if spec.workload_selector and spec.endpoints:
        yield Fault(
            ("spec", "workloadSelector"),
            "MG1084",
            "a ServiceEntry has either endpoints or a workloadSelector",
            "leave one of them out",
            points_at_key=True,
        )


def _unused_selector_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    if spec.workload_selector and spec.resolution == Resolution.NONE:
        yield Fault(
            ("spec", "workloadSelector"),
            "MG1098",
            "with resolution NONE the workloadSelector has no effect",
            "write resolution: STATIC",
            Severity.WARNING,
            points_at_key=True,
        )


def _network_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    if spec.resolution not in _BY_DNS:
        return
    for index, address in sound_items(spec.addresses):
        if "/" in address:
            yield Fault(
                ("spec", "addresses", index),
                "MG1088",
                f"{quoted(address)} is a network, which cannot be with resolution {spec.resolution}",
                "write an IP address, or resolution: STATIC",
            )


def _unaddressed_faults(spec: ServiceEntrySpec, labels: Mapping[str, str]) -> Iterator[Fault]:
    """Warn of TCP ports without addresses, unless Istio allocates one, as it does by default (ip_autoallocation.go)."""
    allocated = spec.resolution != Resolution.NONE and labels.get(_AUTO_ALLOCATE_LABEL, "").lower() != "false"
    if spec.addresses or allocated:
        return
    for index, protocol in sound_items(port.protocol for port in spec.ports):
        if protocol in ("", "TCP"):
            yield Fault(
                ("spec", "ports", index),
                "MG1090",
                "sidecars cannot distinguish a TCP port without addresses from others",
                "list addresses, or set the protocol TLS if it is that; a gateway needs none",
                Severity.WARNING,
            )


def _several_hosts_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    """Refuse several hosts with a port whose connections carry no name, by which the host could be found."""
    if spec.resolution == Resolution.NONE or len(spec.hosts) < 2:
        return
    for index, protocol in sound_items(port.protocol for port in spec.ports):
        if protocol not in HTTP_PROTOCOLS | TLS_PROTOCOLS:
            port = f"a {protocol} port" if protocol else "a port without protocol"
            yield Fault(
                ("spec", "ports", index),
                "MG1091",
                f"{port} cannot be for several hosts, as its connections do not say for which",
                "write a ServiceEntry for each host",
            )


def _shared_address_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    protocols = sound_items(port.protocol for port in spec.ports)
    streams = any(protocol in STREAM_PROTOCOLS for _, protocol in protocols)
    if len(spec.hosts) > 1 and spec.resolution in _BY_DNS and spec.addresses and streams:
        yield Fault(
            ("spec", "hosts"),
            "MG1092",
            "several hosts share the addresses and a TCP or TLS port, so that only one of them is reached there",
            "write a ServiceEntry for each host",
            Severity.WARNING,
            points_at_key=True,
        )


def _dynamic_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    if spec.resolution == Resolution.DYNAMIC_DNS:
        yield from chain_rules(
            _dynamic_host_faults(spec),
            _dynamic_field_faults(spec, "addresses"),
            _dynamic_field_faults(spec, "endpoints"),
        )
        for index, port in sound_items(spec.ports):
            yield from chain_rules(_dynamic_protocol_faults(port, ("spec", "ports", index)))


def _dynamic_host_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    for index, host in sound_items(spec.hosts):
        if not host.startswith("*"):
            hint = "write *.example.com or the like, or resolution: DNS"
            yield Fault(("spec", "hosts", index), "MG1087", "resolution DYNAMIC_DNS is for wildcard hosts", hint)


def _dynamic_field_faults(spec: ServiceEntrySpec, field: str) -> Iterator[Fault]:
    if getattr(spec, field):
        yield Fault(
            ("spec", field),
            "MG1087",
            f"resolution DYNAMIC_DNS takes no {field}, since each connection says where it goes",
            "leave them out",
            points_at_key=True,
        )


def _dynamic_protocol_faults(port: ServiceEntryPort, path: FieldPath) -> Iterator[Fault]:
    if port.protocol not in _DYNAMIC:
        yield Fault(
            (*path, "protocol"),
            "MG1087",
            f"resolution DYNAMIC_DNS is not for {port.protocol or 'a port without protocol'}",
            f"one of {', '.join(_DYNAMIC)}",
        )


def _waypoint_faults(spec: ServiceEntrySpec, labels: Mapping[str, str]) -> Iterator[Fault]:
    inside = spec.resolution == Resolution.DYNAMIC_DNS and spec.location == Location.MESH_INTERNAL
    if inside and labels.get(_WAYPOINT_LABEL, "none") != "none":
        yield Fault(
            ("spec", "location"),
            "MG1087",
            "resolution DYNAMIC_DNS inside the mesh does not work with a waypoint",
            f"write location: MESH_EXTERNAL, or remove the label {_WAYPOINT_LABEL}",
        )


def _endpoint_number_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    """Check the number of endpoints, which depends on the resolution."""
    path = ("spec", "endpoints")
    if spec.resolution == Resolution.NONE and spec.endpoints:
        message = "a ServiceEntry with resolution NONE, which is the default, has no endpoints"
        yield Fault(path, "MG1085", message, "write resolution: STATIC", points_at_key=True)
    if spec.resolution == Resolution.DNS_ROUND_ROBIN and len(spec.endpoints) > 1:
        message = "resolution DNS_ROUND_ROBIN takes one endpoint at most"
        yield Fault((*path, 1), "MG1085", message, "write resolution: DNS for several")


def _endpoints_faults(spec: ServiceEntrySpec) -> Iterator[Fault]:
    for index, endpoint in sound_items(spec.endpoints):
        path = ("spec", "endpoints", index)
        yield from chain_rules(
            _static_faults(spec, endpoint, path),
            _by_name_faults(spec, endpoint, path),
            _endpoint_port_faults(spec, endpoint, path),
            port_name_faults(endpoint, path),
            malformed_labels(endpoint, path),
        )


def _static_faults(spec: ServiceEntrySpec, endpoint: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    if spec.resolution == Resolution.STATIC:
        yield from chain_rules(
            missing_address_faults(endpoint, path),
            ip_faults(endpoint, path),
            unix_faults(endpoint, path),
            single_port_faults(endpoint, spec.ports, path),
        )


def _by_name_faults(spec: ServiceEntrySpec, endpoint: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    if spec.resolution in _BY_DNS:
        yield from chain_rules(lookup_faults(endpoint, path), domain_faults(endpoint, path))


def _endpoint_port_faults(spec: ServiceEntrySpec, endpoint: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    port_names = [port.name for port in spec.ports]
    for name in endpoint.ports:
        if name not in port_names:
            message = f"no port of the ServiceEntry has the name {quoted(name)}"
            yield Fault((*path, "ports", name), "MG1093", message, spelling_hint(name, port_names), points_at_key=True)
