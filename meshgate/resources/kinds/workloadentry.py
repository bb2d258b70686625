"""WorkloadEntry: a workload outside Kubernetes (Istio, networking/v1alpha3/workload_entry.proto)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import core_schema

from meshgate.resources.model import MAX_PORT, FrozenMapping, Labels, Model, UInt32, whole_number


class NamedPorts(FrozenMapping[int]):
    """Port numbers by the names of ports."""

    __slots__ = ()

    value_schema = core_schema.no_info_before_validator_function(
        whole_number, core_schema.int_schema(strict=True, ge=1, le=MAX_PORT)
    )


class WorkloadEntrySpec(Model):
    """The spec of a WorkloadEntry, and an endpoint of a ServiceEntry."""

    address: str = Field(default="", description="IP address, DNS name, or unix:// path")
    ports: NamedPorts = Field(default=NamedPorts(), description="the workload's own ports by the service's port names")
    labels: Labels = Field(default=Labels(), description="labels by which services and subsets select it")
    network: str = Field(default="", description="network it is in, where that is not the mesh's")
    locality: str = Field(default="", description="region/zone/subzone")
    weight: Annotated[UInt32, AfterValidator(lambda weight: weight or 1)] = Field(
        default=1, description="its share of the connections; 0 and unset are 1"
    )
    service_account: str = Field(default="", description="the account it runs as")
