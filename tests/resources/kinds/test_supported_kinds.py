"""Kinds and apiVersions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.fault import Fault
from meshgate.resources.kinds.supported_kinds import KINDS, Kind, find_kind


class FindKindTests(SynchronousTestCase):
    """The kind of a document."""

    def test_every_kind_in_every_api_version(self) -> None:
        """The three of Istio, and Kubernetes' own."""
        versions = [f"networking.istio.io/{version}" for version in ("v1", "v1beta1", "v1alpha3")]
        istio = ("Gateway", "VirtualService", "DestinationRule", "ServiceEntry", "WorkloadEntry")
        wanted = dict.fromkeys(istio, versions)
        wanted |= {
            "Service": ["v1"],
            "Pod": ["v1"],
            "Secret": ["v1"],
            "Endpoints": ["v1"],
            "EndpointSlice": ["discovery.k8s.io/v1"],
        }
        apps = ["apps/v1", "apps/v1beta2", "apps/v1beta1", "extensions/v1beta1"]
        wanted |= dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet"), apps)
        self.assertEqual({kind.name: list(kind.api_versions) for kind in KINDS.values()}, wanted)
        for name, versions in wanted.items():
            for version in versions:
                kind = find_kind(version, name)
                assert isinstance(kind, Kind)
                self.assertEqual(kind.name, name)

    def test_a_known_kind_in_a_wrong_version(self) -> None:
        """A fault with the right one, also where the group is misspelled or another of ours."""
        for version, name, right in (
            ("networking.istio.io/v2", "Gateway", "networking.istio.io/v1"),
            ("network.istio.io/v1", "Gateway", "networking.istio.io/v1"),
            ("v1", "VirtualService", "networking.istio.io/v1"),
            ("networking.istio.io/v1", "Service", "v1"),
            ("discovery.k8s.io/v1beta1", "EndpointSlice", "discovery.k8s.io/v1"),
            ("v2", "Service", "v1"),
        ):
            fault = find_kind(version, name)
            assert isinstance(fault, Fault)
            self.assertEqual((fault.code, fault.hint), ("MG0004", f"write apiVersion: {right}"))

    def test_a_misspelled_kind(self) -> None:
        """A fault with the nearest, in Istio's group only."""
        for name, right in (
            ("Gatway", "Gateway"),
            ("virtualservice", "VirtualService"),
            ("WorkloadEntrys", "WorkloadEntry"),
        ):
            fault = find_kind("networking.istio.io/v1", name)
            assert isinstance(fault, Fault)
            self.assertEqual((fault.code, fault.hint), ("MG0005", f"did you mean {right}?"))

    def test_what_is_no_business_of_ours(self) -> None:
        """Other kinds, other products' kinds of the same name, and Istio's kinds that are not read."""
        for version, name in (
            ("apps/v1", "ReplicaSet"),
            ("example.com/v1", "Deployment"),
            ("v1", "ConfigMap"),
            ("gateway.networking.k8s.io/v1", "Gateway"),
            ("serving.knative.dev/v1", "Service"),
            ("appmesh.k8s.aws/v1beta2", "VirtualService"),
            ("gateway.solo.io/v1", "Gateway"),
            ("networking.istio.io/v1", "EnvoyFilter"),
            ("networking.istio.io/v1", "WorkloadGroup"),
            ("networking.istio.io/v1", "Nonsense"),
            ("example.com/v1", "Gatway"),
        ):
            self.assertIsNone(find_kind(version, name), f"{version} {name}")
