"""
Pods of Kubernetes (core/v1), and the kinds that make Pods by a template (apps/v1): Deployment, StatefulSet, DaemonSet.

Gateways, Services and subsets select Pods by their labels. Of the rest only the ports of containers count, by which a
Service may name its target port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from meshgate.resources.model import Items, KubernetesModel, Labels, PortNumber
from meshgate.resources.resource import Resource


class ContainerPort(KubernetesModel):
    """A port of a container."""

    name: str = Field(default="", description="its name, which a Service may have for a target port")
    container_port: PortNumber = Field(description="1 to 65535")


class Container(KubernetesModel):
    """A container of a Pod."""

    name: str = Field(default="", description="its name")
    ports: Items[ContainerPort] = Field(default=(), description="its ports")


class PodSpec(KubernetesModel):
    """The spec of a Pod."""

    containers: Items[Container] = Field(default=(), description="its containers")


class TemplateMetadata(KubernetesModel):
    """The metadata of a template."""

    labels: Labels = Field(default=Labels(), description="the labels of its Pods")


class PodTemplate(KubernetesModel):
    """A template of Pods."""

    metadata: TemplateMetadata = Field(default=TemplateMetadata(), description="the metadata of its Pods")
    spec: PodSpec = Field(default=PodSpec(), description="the spec of its Pods")


class WorkloadSpec(KubernetesModel):
    """The spec of a Deployment, StatefulSet or DaemonSet."""

    template: PodTemplate = Field(default=PodTemplate(), description="the template of its Pods")


PodSource = Resource[PodSpec] | Resource[WorkloadSpec]
"""A Pod, or a resource that makes Pods."""


def makes_pods(resource: Resource[Any]) -> bool:
    """True for a Pod, and for a resource that makes Pods."""
    return isinstance(resource.spec, PodSpec | WorkloadSpec)


def pod_labels(source: PodSource) -> Mapping[str, str]:
    """The labels of a Pod, or of the Pods that a resource makes."""
    return source.labels if isinstance(source.spec, PodSpec) else source.spec.template.metadata.labels


def containers(source: PodSource) -> Sequence[Container]:
    """The containers of a Pod, or of the Pods that a resource makes."""
    return (source.spec if isinstance(source.spec, PodSpec) else source.spec.template.spec).containers


def named_ports(source: PodSource) -> Mapping[str, int]:
    """The ports of a Pod's containers by their names; of several with one name the first."""
    ports = [port for container in containers(source) for port in container.ports if port.name]
    return {port.name: port.container_port for port in reversed(ports)}
