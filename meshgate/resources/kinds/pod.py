"""Pod of Kubernetes (core/v1), of which only the metadata counts: Services and subsets select it by its labels."""

from __future__ import annotations

from meshgate.resources.model import KubernetesModel


class PodSpec(KubernetesModel):
    """The spec of a Pod; nothing in it is read."""
