"""ServiceEntry: a service that Kubernetes does not know (Istio, networking/v1alpha3/service_entry.proto)."""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import Field

from meshgate.resources.fieldtypes import by_number
from meshgate.resources.kinds.export_to import EXPORTED_TO_ALL, ExportTo
from meshgate.resources.kinds.protocols import OptionalProtocol
from meshgate.resources.kinds.workloadentry import WorkloadEntrySpec
from meshgate.resources.model import Items, Labels, Model, OptionalPortNumber, PortNumber
from meshgate.resources.nameforms import DnsLabel, Subnet, WildcardDomain


class Location(enum.StrEnum):
    """Whether the service is part of the mesh, in the order of protobuf's numbers."""

    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(enum.StrEnum):
    """Where the addresses come from, in the order of protobuf's numbers."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


class ServiceEntryPort(Model):
    """A port of the service."""

    number: PortNumber = Field(description="1 to 65535")
    name: DnsLabel = Field(description="a name of its own in the ServiceEntry")
    protocol: OptionalProtocol = Field(default="", description="what is spoken on it; empty to find out")
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
    ports: Items[ServiceEntryPort] = Field(default=(), description="its ports")
    location: Annotated[Location, Field(strict=False), by_number(Location)] = Field(
        default=Location.MESH_EXTERNAL, description="inside the mesh or outside"
    )
    resolution: Annotated[Resolution, Field(strict=False), by_number(Resolution)] = Field(
        default=Resolution.NONE, description="where addresses come from; STATIC from endpoints, DNS by resolving names"
    )
    endpoints: Items[WorkloadEntrySpec] = Field(
        default=(), description="the endpoints; without them DNS resolves the hosts"
    )
    workload_selector: WorkloadSelector | None = Field(default=None, description="selects the endpoints by labels")
    export_to: ExportTo = Field(
        default=EXPORTED_TO_ALL, description="namespaces that may see it: * for all, . for its own, ~ for none"
    )
    subject_alt_names: Items[str] = Field(default=(), description="names of which the servers must have one")
