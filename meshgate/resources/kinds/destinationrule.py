"""DestinationRule: policies for the connections to a service, and its subsets (Istio, destination_rule.proto)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from meshgate.resources.fault import Fault, FieldPath, chain_rules, duplicate_faults, sound_items
from meshgate.resources.kinds.shared_fields import (
    EXPORTED_TO_ALL,
    ExportTo,
    export_faults,
    malformed_labels,
    selector_faults,
)
from meshgate.resources.kinds.trafficpolicy import TrafficPolicy, policy_faults
from meshgate.resources.model import Items, Labels, Model
from meshgate.resources.names import DnsLabel, WildcardDomain
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.resources.wording import quoted


class Subset(Model):
    """Some of a service's endpoints, by their labels."""

    name: DnsLabel = Field(description="name that routes use")
    labels: Labels = Field(default=Labels(), description="labels that an endpoint must have; empty for all endpoints")
    traffic_policy: TrafficPolicy | None = Field(
        default=None, description="policy for the subset, each section of which overrides that of the rule"
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
        default=None, description="proxies that the rule is for; unset for all that see it"
    )


DestinationRule = Resource[DestinationRuleSpec]


def faults(spec: DestinationRuleSpec, key: ResourceKey) -> Iterator[Fault]:
    """The rules between the fields of a DestinationRule (Istio, validation.go, ValidateDestinationRule)."""
    yield from chain_rules(
        _policy_faults(spec, key.namespace),
        duplicate_faults(spec.subsets, lambda subset: subset.name, ("spec", "subsets"), ("name",), "subset"),
        _subset_faults(spec, key.namespace),
        export_faults(spec.export_to, key.namespace, ("spec", "exportTo")),
        _selector_faults(spec),
        _selected_export_faults(spec, key.namespace),
    )


def _policy_faults(spec: DestinationRuleSpec, namespace: str) -> Iterator[Fault]:
    if spec.traffic_policy:
        yield from policy_faults(spec.traffic_policy, ("spec", "trafficPolicy"), namespace)


def _subset_faults(spec: DestinationRuleSpec, namespace: str) -> Iterator[Fault]:
    for index, subset in sound_items(spec.subsets):
        path = ("spec", "subsets", index)
        yield from chain_rules(malformed_labels(subset, path), _subset_policy_faults(subset, path, namespace))


def _subset_policy_faults(subset: Subset, path: FieldPath, namespace: str) -> Iterator[Fault]:
    if subset.traffic_policy:
        yield from policy_faults(subset.traffic_policy, (*path, "trafficPolicy"), namespace)


def _selector_faults(spec: DestinationRuleSpec) -> Iterator[Fault]:
    if spec.workload_selector:
        path = ("spec", "workloadSelector", "matchLabels")
        yield from selector_faults(spec.workload_selector.match_labels, path, "every proxy of the namespace")


def _selected_export_faults(spec: DestinationRuleSpec, namespace: str) -> Iterator[Fault]:
    """A DestinationRule for some proxies of its namespace cannot be exported to other namespaces."""
    if not spec.workload_selector or spec.export_to is EXPORTED_TO_ALL:
        return
    for index, entry in sound_items(spec.export_to):
        if entry not in (".", namespace):
            yield Fault(
                ("spec", "exportTo", index),
                "MG1081",
                f"a DestinationRule with a workloadSelector cannot be exported to {quoted(entry)}",
                'write "." or leave exportTo out',
            )
