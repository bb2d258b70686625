"""
EndpointSlice of Kubernetes: addresses behind a Service (discovery.k8s.io/v1).

Its fields are at the top level of the document. A label names the Service that it belongs to.
"""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import Field

from meshgate.resources.kinds.service import TransportProtocol
from meshgate.resources.model import MAX_PORT, Items, KubernetesModel, NonEmpty


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
