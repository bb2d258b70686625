"""
The kinds of Kubernetes that say where the connections to a service go: Service and Endpoints (core/v1), and
EndpointSlice (discovery.k8s.io/v1).

The fields of Endpoints and of an EndpointSlice are at the top level of the document. Endpoints have the name of their
Service; a label of an EndpointSlice names it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from meshgate.resources.fault import Fault, chain_rules, duplicate_faults, sound_items
from meshgate.resources.model import MAX_PORT, Items, KubernetesModel, Labels, NonEmpty, refuse
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import value_text


def _port_or_name(value: Any) -> int | str:
    if isinstance(value, str) and value:
        return value
    if type(value) is not int:
        return refuse("MG1003", f"must be a port number or a port's name, not {value_text(value)}")
    if not 1 <= value <= MAX_PORT:
        return refuse("MG1005", f"{value_text(value)} is out of range", f"from 1 to {MAX_PORT}")
    return value


class ServiceType(enum.StrEnum):
    """The ways in which a Service is reached."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"
    EXTERNAL_NAME = "ExternalName"


class TransportProtocol(enum.StrEnum):
    """The transport protocol of a port."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class ServicePort(KubernetesModel):
    """A port of a Service."""

    name: str = Field(default="", description="required where there are several ports")
    port: Annotated[int, Field(ge=1, le=MAX_PORT)] = Field(description="1 to 65535")
    target_port: Annotated[int | str, BeforeValidator(_port_or_name)] | None = Field(
        default=None,
        description="the endpoints' port, by number or by their name for it; the port's own number if left out",
    )
    node_port: Annotated[int, Field(ge=0, le=MAX_PORT)] | None = Field(
        default=None, description="the port of each Node that leads to it, for the types NodePort and LoadBalancer"
    )
    protocol: Annotated[TransportProtocol, Field(strict=False)] = Field(
        default=TransportProtocol.TCP, description="TCP"
    )
    app_protocol: str | None = Field(default=None, description="its application protocol, for instance https")


class ServiceSpec(KubernetesModel):
    """The spec of a Service."""

    selector: Labels = Field(default=Labels(), description="labels of its endpoints; empty where others list them")
    ports: Items[ServicePort] = Field(default=(), description="its ports")
    type: Annotated[ServiceType, Field(strict=False)] = Field(
        default=ServiceType.CLUSTER_IP, description="ExternalName stands for a name in the DNS"
    )
    external_name: str = Field(default="", description="the name in the DNS, for the type ExternalName")
    traffic_distribution: str = Field(
        default="", description="which endpoints clients prefer, for instance PreferSameZone; not followed yet"
    )

    session_affinity: str = Field(
        default="", description="ClientIP keeps a client at its endpoint; without effect at a gateway"
    )
    internal_traffic_policy: str = Field(
        default="", description="Local for the endpoints on the client's own node alone; not followed yet"
    )

    @property
    def stands_for(self) -> str:
        """The name that a Service of the type ExternalName stands for; empty for the other types."""
        return self.external_name if self.type is ServiceType.EXTERNAL_NAME else ""


_PORTS: Final = ("spec", "ports")


def faults(spec: ServiceSpec, key: ResourceKey) -> Iterator[Fault]:
    """The rules between the fields of a Service (Kubernetes, pkg/apis/core/validation, ValidateService)."""
    yield from chain_rules(
        _external_name_faults(spec),
        _missing_name_faults(spec),
        duplicate_faults(spec.ports, lambda port: port.name, _PORTS, ("name",), "port"),
    )


def _external_name_faults(spec: ServiceSpec) -> Iterator[Fault]:
    if spec.type == ServiceType.EXTERNAL_NAME and not spec.external_name:
        yield Fault(("spec", "externalName"), "MG1002", "a Service of the type ExternalName needs an externalName")


def _missing_name_faults(spec: ServiceSpec) -> Iterator[Fault]:
    if len(spec.ports) > 1:
        for index, name in sound_items(port.name for port in spec.ports):
            if not name:
                path = (*_PORTS, index, "name")
                yield Fault(path, "MG1002", "a Service with several ports needs a name for each")


class AddressType(enum.StrEnum):
    """The type of the addresses of a slice."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    FQDN = "FQDN"


class Conditions(KubernetesModel):
    """The state of an endpoint. A condition that is not set is None."""

    ready: bool | None = Field(default=None, description="takes connections; unset is true")
    serving: bool | None = Field(default=None, description="answers, though perhaps terminating")
    terminating: bool | None = Field(default=None, description="is about to stop")


class TargetRef(KubernetesModel):
    """The object to which an endpoint belongs."""

    kind: str = Field(default="", description="its kind, usually Pod")
    namespace: str = Field(default="", description="its namespace; empty for the slice's own")
    name: str = Field(default="", description="its name")


class SliceEndpoint(KubernetesModel):
    """One endpoint; its addresses are interchangeable."""

    addresses: Annotated[Items[NonEmpty], Field(min_length=1)] = Field(description="IP addresses or names")
    conditions: Conditions = Field(default=Conditions(), description="its state")
    target_ref: TargetRef | None = Field(default=None, description="the Pod that it is, whose labels select it")
    zone: str | None = Field(default=None, description="zone it is in")
    node_name: str | None = Field(default=None, description="node it is on")


class SlicePort(KubernetesModel):
    """A port of every endpoint of the slice."""

    name: str = Field(default="", description="name of the Service's port")
    port: Annotated[int, Field(ge=1, le=MAX_PORT)] | None = Field(default=None, description="its number; None for any")
    protocol: Annotated[TransportProtocol, Field(strict=False)] = Field(
        default=TransportProtocol.TCP, description="TCP"
    )
    app_protocol: str | None = Field(default=None, description="its application protocol")


class EndpointSliceSpec(KubernetesModel):
    """The content of an EndpointSlice."""

    address_type: Annotated[AddressType, Field(strict=False)] = Field(description="type of the addresses")
    endpoints: Items[SliceEndpoint] = Field(default=(), description="the endpoints")
    ports: Items[SlicePort] = Field(default=(), description="the ports of each of them")


class EndpointAddress(KubernetesModel):
    """An address of Endpoints."""

    ip: NonEmpty = Field(description="an IP address")
    target_ref: TargetRef | None = Field(default=None, description="the Pod that it is, whose labels select it")


class EndpointSubset(KubernetesModel):
    """Addresses that all have the same ports."""

    addresses: Items[EndpointAddress] = Field(default=(), description="the addresses that take connections")
    ports: Items[SlicePort] = Field(default=(), description="the ports of each of them")


class EndpointsSpec(KubernetesModel):
    """The content of Endpoints, which people write for a Service without a selector."""

    subsets: Items[EndpointSubset] = Field(default=(), description="the addresses and their ports")

    def slices(self) -> Iterator[EndpointSliceSpec]:
        """The same as EndpointSlices, as Kubernetes mirrors them (pkg/controller/endpointslicemirroring)."""
        for subset in self.subsets:
            endpoints = [
                SliceEndpoint.model_construct(addresses=(each.ip,), targetRef=each.target_ref)
                for each in subset.addresses
            ]
            for family, colon in ((AddressType.IPV4, False), (AddressType.IPV6, True)):
                fitting = tuple(each for each in endpoints if (":" in each.addresses[0]) is colon)
                if fitting:
                    yield EndpointSliceSpec.model_construct(addressType=family, endpoints=fitting, ports=subset.ports)
