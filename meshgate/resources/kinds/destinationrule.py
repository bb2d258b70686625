"""DestinationRule: policies for the connections to a service, and its subsets (Istio, destination_rule.proto)."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from meshgate.resources.kinds.trafficpolicy import TrafficPolicy
from meshgate.resources.model import Items, Labels, Model
from meshgate.resources.nameforms import DnsLabel, WildcardDomain

#: What exportTo is where the document says nothing of it; told by identity from a list that says the same.
EVERYWHERE: Final = ("*",)


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
    export_to: Annotated[Items[str], AfterValidator(lambda names: names or EVERYWHERE)] = Field(
        default=EVERYWHERE, description="namespaces that may see it: * for all, . for its own"
    )
    workload_selector: WorkloadSelector | None = Field(
        default=None, description="the proxies it is for; unset for all that see it"
    )
