"""DestinationRule: policies for the connections to a service, and its subsets (Istio, destination_rule.proto)."""

from __future__ import annotations

from pydantic import Field

from meshgate.resources.kinds.export_to import EXPORTED_TO_ALL, ExportTo
from meshgate.resources.kinds.trafficpolicy import TrafficPolicy
from meshgate.resources.model import Items, Labels, Model
from meshgate.resources.nameforms import DnsLabel, WildcardDomain
from meshgate.resources.resource import Resource


class Subset(Model):
    """Some of a service's endpoints, by their labels."""

    name: DnsLabel = Field(description="by which a route names it")
    labels: Labels = Field(default=Labels(), description="labels that an endpoint must have; empty for all endpoints")
    traffic_policy: TrafficPolicy | None = Field(
        default=None, description="policy for it, each part of which overrides that of the rule"
    )


class WorkloadSelector(Model):
    """Selects proxies of the namespace."""

    match_labels: Labels = Field(default=Labels(), description="labels that a proxy must have")


class DestinationRuleSpec(Model):
    """The spec of a DestinationRule."""

    host: WildcardDomain = Field(description="name of the service; a short one is of the rule's namespace")
    traffic_policy: TrafficPolicy | None = Field(default=None, description="policy for all its connections")
    subsets: Items[Subset] = Field(default=(), description="subsets that routes can name")
    export_to: ExportTo = Field(
        default=EXPORTED_TO_ALL, description="namespaces that may see it: * for all, . for its own"
    )
    workload_selector: WorkloadSelector | None = Field(
        default=None, description="the proxies it is for; unset for all that see it"
    )


DestinationRule = Resource[DestinationRuleSpec]
