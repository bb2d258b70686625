"""
Pods of Kubernetes (core/v1), and the kinds that make Pods by a template (apps/v1): Deployment, StatefulSet, DaemonSet.

Gateways, Services and subsets select Pods by their labels. Of the rest only the ports of containers count, by which a
Service may name its target port. Other kinds that have a template of Pods are read for it alone (:func:`template_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

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


def template_of(document: Mapping[str, Any]) -> WorkloadSpec | None:
    """
    Find the template of Pods, or of other workloads, in a document of a kind that is not read otherwise.

    That is a Job, a Rollout, a kind of one's own, or Istio's WorkloadGroup, whose workloads register themselves.

    :return: None if there is none, or if it cannot be read.
    """
    spec: Any = document.get("spec")
    if document.get("kind") == "CronJob":
        spec = _field(_field(spec, "jobTemplate"), "spec")
    template = _field(spec, "template")
    pod = _field(template, "spec")
    if document.get("kind") == "WorkloadGroup":
        template = {"metadata": _field(spec, "metadata")}
    elif _field(pod, "containers") is None and _field(pod, "domain") is None:
        return None
    try:
        return WorkloadSpec.model_validate({"template": template})
    except ValidationError:
        return None


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


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
