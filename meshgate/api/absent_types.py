"""
Types that clients ask for and that a gateway without a cluster has no objects of, with what to do instead.

They are listed as empty, since ``kubectl apply --prune`` lists them unasked; a write is refused with the sentence.
Lists of all types leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class AbsentType:
    """
    A type without objects.

    :ivar instead: the sentence that refuses a write.
    """

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    instead: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True


_RUNS_PODS: Final = "only Deployments, ReplicaSets and Pods run here: write a Deployment"
_MOUNTS: Final = "pods here mount Secrets and ConfigMaps only, so there is no volume to claim"
_USERS: Final = (
    "this API has two users, admin and reader, each with a kubeconfig file in the state folder; their rights are fixed"
)
_RBAC: Final = "rbac.authorization.k8s.io"

ABSENT_TYPES: Final = (
    AbsentType("", ("v1",), "ReplicationController", "replicationcontrollers", _RUNS_PODS, ("rc",)),
    AbsentType("", ("v1",), "PersistentVolumeClaim", "persistentvolumeclaims", _MOUNTS, ("pvc",)),
    AbsentType("", ("v1",), "PersistentVolume", "persistentvolumes", _MOUNTS, ("pv",), namespaced=False),
    AbsentType(
        *("", ("v1",), "ResourceQuota", "resourcequotas"),
        "the resources of pods are not limited here, since they are services of one process",
        ("quota",),
    ),
    AbsentType("apps", ("v1",), "DaemonSet", "daemonsets", _RUNS_PODS, ("ds",)),
    AbsentType("apps", ("v1",), "StatefulSet", "statefulsets", _RUNS_PODS, ("sts",)),
    AbsentType("batch", ("v1",), "Job", "jobs", _RUNS_PODS),
    AbsentType("batch", ("v1", "v1beta1"), "CronJob", "cronjobs", _RUNS_PODS, ("cj",)),
    AbsentType(
        *("autoscaling", ("v2", "v1"), "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        "nothing measures the load of pods here: set their number with kubectl scale",
        ("hpa",),
    ),
    AbsentType(
        *("networking.k8s.io", ("v1",), "Ingress", "ingresses"),
        "this gateway routes by Istio's resources: write a Gateway and a VirtualService",
        ("ing",),
    ),
    AbsentType(
        *("networking.k8s.io", ("v1",), "IngressClass", "ingressclasses"),
        "this gateway routes by Istio's resources: write a Gateway and a VirtualService",
        namespaced=False,
    ),
    AbsentType(
        *("networking.k8s.io", ("v1",), "NetworkPolicy", "networkpolicies"),
        "pods here are services of one process, and nothing filters what reaches them",
        ("netpol",),
    ),
    AbsentType(
        *("extensions", ("v1beta1",), "Ingress", "ingresses"),
        "this gateway routes by Istio's resources: write a Gateway and a VirtualService",
        ("ing",),
    ),
    AbsentType(
        *("policy", ("v1", "v1beta1"), "PodDisruptionBudget", "poddisruptionbudgets"),
        "no node is ever drained here, so no pod is evicted",
        ("pdb",),
    ),
    AbsentType(
        *("scheduling.k8s.io", ("v1",), "PriorityClass", "priorityclasses"),
        "every pod runs here, so none has priority",
        ("pc",),
        namespaced=False,
    ),
    AbsentType(_RBAC, ("v1",), "Role", "roles", _USERS),
    AbsentType(_RBAC, ("v1",), "RoleBinding", "rolebindings", _USERS),
    AbsentType(_RBAC, ("v1",), "ClusterRole", "clusterroles", _USERS, namespaced=False),
    AbsentType(_RBAC, ("v1",), "ClusterRoleBinding", "clusterrolebindings", _USERS, namespaced=False),
    AbsentType(
        *("certificates.k8s.io", ("v1", "v1beta1"), "CertificateSigningRequest", "certificatesigningrequests"),
        "this API signs no certificates: create a Secret with the certificate (kubectl create secret tls)",
        ("csr",),
        namespaced=False,
    ),
)
"""The types, those of one group together."""
