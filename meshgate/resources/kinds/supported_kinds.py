"""The kinds that meshgate reads, with their apiVersions, models and rules, and the kind of a document by its head."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from meshgate.resources.fault import Fault
from meshgate.resources.kinds import (
    destinationrule,
    gateway,
    health_check,
    pod,
    secret,
    service,
    serviceentry,
    virtualservice,
    workloadentry,
)
from meshgate.resources.kinds.annotations import (
    access_faults,
    bandwidth_faults,
    gateway_header_faults,
    rule_header_faults,
)
from meshgate.resources.problem import Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import name_text, plural

ISTIO_GROUP: Final = "networking.istio.io"
_ISTIO_VERSIONS: Final = tuple(f"{ISTIO_GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha3"))
# What is read of these kinds is the same in all versions.
_APPS_VERSIONS: Final = ("apps/v1", "apps/v1beta2", "apps/v1beta1", "extensions/v1beta1")
# Kinds of the same group that are not read. They are listed so that they do not count as misspelled.
_OTHER_ISTIO_KINDS: Final = frozenset(["EnvoyFilter", "ProxyConfig", "Sidecar", "WorkloadGroup"])

UNREAD_KINDS: Final = _OTHER_ISTIO_KINDS | {
    "AuthorizationPolicy",
    "GRPCRoute",
    "GatewayClass",
    "HTTPRoute",
    "Ingress",
    "PeerAuthentication",
    "ReferenceGrant",
    "RequestAuthentication",
    "TCPRoute",
    "TLSRoute",
    "Telemetry",
    "UDPRoute",
    "WasmPlugin",
}
"""Kinds of Istio and Kubernetes that concern traffic and are not read."""


def _no_faults(spec: Any, key: ResourceKey) -> Iterator[Fault]:
    return iter(())


def _no_annotation_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    return iter(())


def _gateway_annotation_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    yield from access_faults(annotations)
    yield from gateway_header_faults(annotations)


def _rule_annotation_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    yield from bandwidth_faults(annotations)
    yield from rule_header_faults(annotations)
    yield from health_check.annotation_faults(annotations)


def _no_label_faults(spec: Any, labels: Mapping[str, str]) -> Iterator[Fault]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Kind:
    """
    A kind that meshgate reads.

    :ivar description: a phrase for the reference, that ends with a full stop.
    :ivar api_versions: its apiVersions, the recommended one first.
    :ivar model: the model of its spec.
    :ivar faults: runs the rules between the fields of its spec and the resource's name and namespace.
    :ivar label_faults: runs the rules between the fields of its spec and the resource's labels.
    :ivar annotation_faults: runs the rules for the annotations that this gateway reads.
    :ivar flat: True if the fields of the spec are at the top level of the document.
    :ivar confidential: True if no content of it may be shown.
    :ivar short_name: kubectl's short name for it, or empty.
    :ivar mostly_unread: True if most of its fields are not read, so that the words in them are not judged.
    """

    name: str
    description: str
    api_versions: tuple[str, ...]
    model: type[BaseModel]
    faults: Callable[[Any, ResourceKey], Iterator[Fault]] = _no_faults
    label_faults: Callable[[Any, Mapping[str, str]], Iterator[Fault]] = _no_label_faults
    annotation_faults: Callable[[Mapping[str, str]], Iterator[Fault]] = _no_annotation_faults
    flat: bool = False
    confidential: bool = False
    mostly_unread: bool = False
    short_name: str = ""

    @property
    def plural(self) -> str:
        """The name of several, in lower case, as kubectl takes it."""
        name = self.name.lower()
        return name if name == "endpoints" else plural(name)

    @property
    def has_fields(self) -> bool:
        """True if the kind has a spec with fields that are read."""
        return not self.flat and bool(self.model.model_fields)


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "Gateway",
            "the ports that a gateway opens, and for which hosts (Istio, networking/v1alpha3/gateway.proto).",
            _ISTIO_VERSIONS,
            gateway.GatewaySpec,
            gateway.faults,
            annotation_faults=_gateway_annotation_faults,
            short_name="gw",
        ),
        Kind(
            "VirtualService",
            "where connections go (Istio, networking/v1alpha3/virtual_service.proto), below HTTP.",
            _ISTIO_VERSIONS,
            virtualservice.VirtualServiceSpec,
            virtualservice.faults,
            short_name="vs",
        ),
        Kind(
            "DestinationRule",
            "policies for the connections to a service, and its subsets (Istio, destination_rule.proto).",
            _ISTIO_VERSIONS,
            destinationrule.DestinationRuleSpec,
            destinationrule.faults,
            annotation_faults=_rule_annotation_faults,
            short_name="dr",
        ),
        Kind(
            "ServiceEntry",
            "a service that Kubernetes does not know (Istio, networking/v1alpha3/service_entry.proto).",
            _ISTIO_VERSIONS,
            serviceentry.ServiceEntrySpec,
            serviceentry.faults,
            serviceentry.label_faults,
            annotation_faults=health_check.annotation_faults,
            short_name="se",
        ),
        Kind(
            "WorkloadEntry",
            "a workload outside Kubernetes (Istio, networking/v1alpha3/workload_entry.proto).",
            _ISTIO_VERSIONS,
            workloadentry.WorkloadEntrySpec,
            workloadentry.faults,
            short_name="we",
        ),
        Kind(
            "Service",
            "Service of Kubernetes (core/v1): the fields that decide where its connections go.",
            ("v1",),
            service.ServiceSpec,
            service.faults,
            annotation_faults=health_check.annotation_faults,
            short_name="svc",
        ),
        Kind(
            "EndpointSlice",
            "EndpointSlice of Kubernetes: addresses behind a Service (discovery.k8s.io/v1).",
            ("discovery.k8s.io/v1",),
            service.EndpointSliceSpec,
            flat=True,
        ),
        Kind(
            "Endpoints",
            "Endpoints of Kubernetes (core/v1): addresses behind the Service of the same name, as written by hand.",
            ("v1",),
            service.EndpointsSpec,
            flat=True,
            short_name="ep",
        ),
        Kind(
            "Pod",
            "Pod of Kubernetes (core/v1): Services and subsets select it by its labels.",
            ("v1",),
            pod.PodSpec,
            mostly_unread=True,
            short_name="po",
        ),
        *(
            Kind(
                name,
                f"{name} of Kubernetes (apps/v1), of which the Pods count that it makes.",
                _APPS_VERSIONS,
                pod.WorkloadSpec,
                mostly_unread=True,
                short_name=short_name,
            )
            for name, short_name in (("Deployment", "deploy"), ("StatefulSet", "sts"), ("DaemonSet", "ds"))
        ),
        Kind(
            "Secret",
            "Secret of Kubernetes (core/v1): its type, the names of its entries, and public facts of a certificate and "
            "its key. The content of an entry is neither kept nor shown.",
            ("v1",),
            secret.SecretSpec,
            flat=True,
            confidential=True,
        ),
    )
}
_OWN_KINDS: Final = "meshgate reads Istio's own kinds: a Gateway and a VirtualService of networking.istio.io"
KUSTOMIZATION: Final = ("kustomize.config.k8s.io/v1beta1", "Kustomization")
"""The apiVersion and kind of a file of kustomize."""

_NOT_READ: Final[Mapping[str, str]] = {
    "security.istio.io/AuthorizationPolicy": "clients that it keeps out of Istio's gateway get in here",
    "security.istio.io/PeerAuthentication": (
        "this gateway does not speak the mutual TLS of the mesh, and endpoints of mode STRICT refuse it"
    ),
    "networking.istio.io/EnvoyFilter": "what it changes in Istio's gateway does not change here",
    "networking.k8s.io/NetworkPolicy": "connections that it forbids in a cluster are made here",
    "networking.k8s.io/Ingress": _OWN_KINDS,
    "gateway.networking.k8s.io/Gateway": _OWN_KINDS,
    "gateway.networking.k8s.io/TLSRoute": _OWN_KINDS,
    "gateway.networking.k8s.io/TCPRoute": _OWN_KINDS,
    "kustomize.config.k8s.io/Kustomization": (
        "check what it makes of the other files: kubectl kustomize FOLDER | meshgate check -"
    ),
}
"""The words for somebody who has a resource of a kind that is not read."""

_GROUPS: Final = tuple({kind.api_versions[0].rpartition("/")[0]: None for kind in KINDS.values()})


def find_kind(api_version: str, name: str) -> Kind | Fault | None:
    """
    Find the kind of a document.

    :param api_version: the document's ``apiVersion``.
    :param name: the document's ``kind``.
    :return: the kind; a fault if the document was probably meant to be of a kind that is read; None if it is something
        else, which does not concern a gateway.
    """
    group = api_version.rpartition("/")[0]
    kind = KINDS.get(name)
    if kind is None:
        return _misspelled(group, name)
    if api_version in kind.api_versions:
        return kind
    # Other products have a Gateway or a VirtualService of their own, in a group with a quite different name.
    if group not in _GROUPS and not difflib.get_close_matches(group, _GROUPS, 1, 0.8):
        return None
    hint = f"write apiVersion: {kind.api_versions[0]}"
    return Fault(("apiVersion",), "MG0004", f"{name_text(name)} is not a kind of {name_text(api_version)}", hint)


def _misspelled(group: str, name: str) -> Fault | None:
    if group != ISTIO_GROUP or name in _OTHER_ISTIO_KINDS:
        return None
    known = {kind.lower(): kind for kind in (*KINDS, *_OTHER_ISTIO_KINDS)}
    near = difflib.get_close_matches(name.lower(), known, 1, 0.75)
    if not near:
        return None
    return Fault(("kind",), "MG0005", f"{name_text(name)} is not a kind of {group}", f"did you mean {known[near[0]]}?")


def not_read(api_version: str, name: str) -> Fault:
    """Inform of a document of a kind that is not read, and of its effect in a cluster that it does not have here."""
    group, _, _ = api_version.rpartition("/")
    full_name = f"{group}/{name}" if group else name
    hint = _NOT_READ.get(full_name, "")
    return Fault((), "MG0006", f"the kind {name_text(full_name)} is not read", hint, Severity.INFO)
