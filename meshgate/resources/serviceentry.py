"""ServiceEntry: a service that Kubernetes does not know (Istio, networking/v1alpha3/service_entry.proto)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from meshgate.resources.fault import Fault, Path, repeated
from meshgate.resources.model import Items, Labels, Model, NonEmpty, OptionalPortNumber, PortNumber
from meshgate.resources.protocols import OptionalProtocol
from meshgate.resources.record import ResourceKey
from meshgate.resources.wording import quoted
from meshgate.resources.workloadentry import WorkloadEntrySpec, unix_faults


class Location(enum.StrEnum):
    """Whether the service is part of the mesh."""

    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(enum.StrEnum):
    """Where the addresses come from."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


class ServiceEntryPort(Model):
    """A port of the service."""

    number: PortNumber = Field(description="1 to 65535")
    name: NonEmpty = Field(description="a name of its own in the ServiceEntry")
    protocol: OptionalProtocol = Field(default="", description="what is spoken on it; empty to find out")
    target_port: OptionalPortNumber = Field(default=0, description="the endpoints' port; 0 for the same number")


class WorkloadSelector(Model):
    """Selects workloads of the namespace."""

    labels: Labels = Field(default=Labels(), description="labels that a workload must have")


class ServiceEntrySpec(Model):
    """The spec of a ServiceEntry."""

    hosts: Annotated[Items[NonEmpty], Field(min_length=1, max_length=256)] = Field(description="names of the service")
    addresses: Items[str] = Field(default=(), description="virtual IP addresses or networks of the service")
    ports: Items[ServiceEntryPort] = Field(default=(), description="its ports")
    location: Annotated[Location, Field(strict=False)] = Field(
        default=Location.MESH_EXTERNAL, description="inside the mesh or outside"
    )
    resolution: Annotated[Resolution, Field(strict=False)] = Field(
        default=Resolution.NONE, description="where addresses come from; STATIC from endpoints, DNS by resolving names"
    )
    endpoints: Items[WorkloadEntrySpec] = Field(
        default=(), description="the endpoints; without them DNS resolves the hosts"
    )
    workload_selector: WorkloadSelector | None = Field(default=None, description="selects the endpoints by labels")
    export_to: Annotated[Items[str], AfterValidator(lambda names: names or ("*",))] = Field(
        default=("*",), description="namespaces that may see it: * for all, . for its own, ~ for none"
    )
    subject_alternative_names: Items[str] = Field(
        default=(), description="names that the servers' certificates must have"
    )


def faults(spec: ServiceEntrySpec, key: ResourceKey) -> Iterator[Fault]:
    """The rules between the fields of a ServiceEntry (Istio, validation.go, ValidateServiceEntry)."""
    for index, host in enumerate(spec.hosts):
        if host == "*":
            yield Fault(("spec", "hosts", index), "MG1006", "a ServiceEntry cannot be for every host", "name a host")
    if spec.endpoints and spec.workload_selector is not None:
        yield Fault(
            ("spec", "workloadSelector"),
            "MG1008",
            "a ServiceEntry has either endpoints or a workloadSelector",
            "leave one of them out",
        )
    yield from repeated((port.name for port in spec.ports), ("spec", "ports"), ("name",), "port")
    yield from repeated((port.number for port in spec.ports), ("spec", "ports"), ("number",), "port")
    for index, endpoint in enumerate(spec.endpoints):
        yield from _endpoint_faults(spec, endpoint, ("spec", "endpoints", index))


def _endpoint_faults(spec: ServiceEntrySpec, endpoint: WorkloadEntrySpec, path: Path) -> Iterator[Fault]:
    if spec.resolution is Resolution.NONE:
        yield Fault(path, "MG1008", "a ServiceEntry without resolution has no endpoints", "write resolution: STATIC")
    names = {port.name for port in spec.ports}
    for name in endpoint.ports:
        if name not in names:
            yield Fault(
                (*path, "ports", name),
                "MG1006",
                f"no port of the ServiceEntry has the name {quoted(name)}",
                f"one of {', '.join(sorted(names))}" if names else "",
                at_key=True,
            )
    yield from unix_faults(endpoint, path)
