"""Tests of :mod:`meshgate.api.pods.pod_objects`."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.pods.pod_image import ContainerError
from meshgate.api.pods.pod_objects import address_of, environment, files, pod, replica_set, replicas_of
from meshgate.api.store_interface import Object
from tests.api.pods.workloads import NAMESPACE, deployment, echo_container, tls_container

SECRET = {
    "kind": "Secret",
    "metadata": {"name": "pair", "namespace": NAMESPACE},
    "data": {"tls.crt": base64.b64encode(b"chain").decode(), "tls.key": base64.b64encode(b"key").decode()},
}
CONFIG = {"kind": "ConfigMap", "metadata": {"name": "texts"}, "data": {"a": "1", "b": "2"}}


def lookup(kind: str, name: str) -> Object | None:
    """The Secret ``pair`` and the ConfigMap ``texts``."""
    return {("Secret", "pair"): SECRET, ("ConfigMap", "texts"): CONFIG}.get((kind, name))


def stored(object_: dict[str, Any]) -> dict[str, Any]:
    """An object with a uid."""
    return {**object_, "metadata": {**object_["metadata"], "uid": "u"}}


class MadeObjectTests(SynchronousTestCase):
    """ReplicaSets and Pods."""

    def test_names(self) -> None:
        """The ReplicaSet is named by the template alone, and Pods by their ReplicaSet: a restart gives the same."""
        first = stored(deployment(echo_container(1)))
        other = stored(deployment(echo_container(2)))
        set_ = replica_set(first, 1, 1)
        self.assertRegex(set_["metadata"]["name"], r"^echo-[a-z0-9]{10}$")
        self.assertEqual(
            replica_set({**first, "spec": {**first["spec"], "replicas": 9}}, 9, 1)["metadata"], set_["metadata"]
        )
        self.assertNotEqual(replica_set(other, 1, 1)["metadata"]["name"], set_["metadata"]["name"])
        pods = [pod(stored(set_), number)["metadata"]["name"] for number in range(20)]
        self.assertEqual(len(set(pods)), 20)
        self.assertEqual(pods, [pod(stored(set_), number)["metadata"]["name"] for number in range(20)])

    def test_labels(self) -> None:
        """A Pod has the labels of the template and the hash; its ReplicaSet selects it by both."""
        set_ = stored(replica_set(stored(deployment(echo_container(1))), 1, 1))
        labels = pod(set_, 0)["metadata"]["labels"]
        self.assertEqual(set(labels), {"app", "pod-template-hash"})
        self.assertEqual(set_["spec"]["selector"]["matchLabels"], labels)

    def test_replicas(self) -> None:
        """A number that is none counts as one, and there is a limit."""
        for given_number, wanted in ((0, 0), (3, 3), (None, 1), ("x", 1), (-1, 1), (10**9, 50)):
            self.assertEqual(replicas_of({"spec": {"replicas": given_number}}), wanted)

    @given(st.text(max_size=5), st.text(max_size=5), st.integers(0, 5))
    def test_addresses(self, namespace: str, name: str, attempt: int) -> None:
        """Every address is one of the loopback network's, and of a host."""
        address = ipaddress.ip_address(address_of(namespace, name, attempt))
        self.assertIn(address, ipaddress.ip_network("127.64.0.0/10"))
        self.assertNotIn(address.packed[3], (0, 255))


class EnvironmentTests(SynchronousTestCase):
    """The variables of a container."""

    def variables(self, *env: dict[str, Any]) -> dict[str, str]:
        """The variables of the Pod ``p`` with an entry of ``env`` each."""
        object_ = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"nodeName": "node"}}
        return environment(object_, {"env": list(env)}, "127.64.0.1", lookup)

    def refused(self, entry: dict[str, Any]) -> str:
        """The message for an entry that cannot be a variable."""
        return str(self.assertRaises(ContainerError, self.variables, entry))

    def test_sources(self) -> None:
        """Values come as they are, from fields of the Pod, from Secrets and from ConfigMaps."""
        for source, wanted in (
            ({"fieldRef": {"fieldPath": "metadata.name"}}, "p"),
            ({"fieldRef": {"fieldPath": "status.podIP"}}, "127.64.0.1"),
            ({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "default"),
            ({"secretKeyRef": {"name": "pair", "key": "tls.crt"}}, "chain"),
            ({"configMapKeyRef": {"name": "texts", "key": "b"}}, "2"),
        ):
            self.assertEqual(self.variables({"name": "A", "valueFrom": source}), {"A": wanted})
        self.assertEqual(self.variables({"name": "A", "value": "x"}, {"name": "B"}), {"A": "x", "B": ""})

    def test_labels_and_optional_sources(self) -> None:
        """A label is a variable; what is optional and missing is none."""
        object_ = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app/x": "y"}}}
        env = [
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app/x']"}}},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['none']"}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "none", "key": "a", "optional": True}}},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "texts", "key": "none", "optional": True}}},
        ]
        self.assertEqual(environment(object_, {"env": env}, "127.64.0.1", lookup), {"A": "y", "B": ""})

    def test_whole_sources(self) -> None:
        """All entries of a ConfigMap become variables, with a prefix; ``env`` counts more, and refers to them."""
        container = {
            "envFrom": [
                {"configMapRef": {"name": "texts"}, "prefix": "X_"},
                {"secretRef": {"name": "none", "optional": True}},
            ],
            "env": [
                {"name": "X_a", "value": "9"},
                {"name": "B", "value": "$(X_b) $(NONE) $$(X_b) $"},
            ],
        }
        object_ = {"metadata": {"name": "p"}}
        wanted = {"X_a": "9", "X_b": "2", "B": "2 $(NONE) $(X_b) $"}
        self.assertEqual(environment(object_, container, "127.64.0.1", lookup), wanted)
        missing = {"envFrom": [{"configMapRef": {"name": "none"}}]}
        error = self.assertRaises(ContainerError, environment, object_, missing, "127.64.0.1", lookup)
        self.assertEqual((str(error), error.reason), ("there is no ConfigMap none", "CreateContainerConfigError"))

    def test_missing_sources(self) -> None:
        """A source that is not there is named, and no content of a Secret is."""
        for source, message in (
            ({"fieldRef": {"fieldPath": "status.phase"}}, "cannot be a variable"),
            ({"secretKeyRef": {"name": "none", "key": "a"}}, "there is no Secret none"),
            ({"secretKeyRef": {"name": "pair", "key": "a"}}, "has no entry a"),
            ({"resourceFieldRef": {}}, "not served here"),
        ):
            self.assertIn(message, self.refused({"name": "A", "valueFrom": source}))


class FilesTests(SynchronousTestCase):
    """The files that volumes mount."""

    def mounted(self, volume: dict[str, Any], **mount: Any) -> dict[str, bytes]:
        """The files of one volume."""
        object_ = {"metadata": {"name": "p"}, "spec": {"volumes": [{"name": "certs", **volume}]}}
        container = {"volumeMounts": [{"name": "certs", "mountPath": "/etc/certs/", **mount}]}
        return files(object_, container, lookup)

    def test_volumes(self) -> None:
        """All entries, those that the volume picks, or one of them are mounted."""
        secret = {"secret": {"secretName": "pair"}}
        wanted = {"/etc/certs/tls.crt": b"chain", "/etc/certs/tls.key": b"key"}
        self.assertEqual(self.mounted(secret), wanted)
        self.assertEqual(self.mounted(secret, mountPath="/a.crt", subPath="tls.crt"), {"/a.crt": b"chain"})
        picked = {"secret": {"secretName": "pair", "items": [{"key": "tls.key", "path": "k"}]}}
        self.assertEqual(self.mounted(picked), {"/etc/certs/k": b"key"})
        self.assertEqual(self.mounted({"configMap": {"name": "texts"}})["/etc/certs/a"], b"1")
        sources = [{"configMap": {"name": "texts"}}, picked, {"serviceAccountToken": {"path": "token"}}]
        found = self.mounted({"projected": {"sources": sources}})
        self.assertEqual(found, {"/etc/certs/a": b"1", "/etc/certs/b": b"2", "/etc/certs/k": b"key"})
        self.assertEqual(self.mounted({"secret": {"secretName": "none", "optional": True}}), {})
        self.assertEqual(self.mounted({"emptyDir": {}}), {})

    def test_missing_volumes(self) -> None:
        """A mount without a volume, and a volume without its Secret, are named."""
        lost = {"volumeMounts": [{"name": "x", "mountPath": "/"}]}
        error = self.assertRaises(ContainerError, files, {"spec": {}}, lost, lookup)
        self.assertIn("there is no volume x", str(error))
        error = self.assertRaises(ContainerError, self.mounted, {"secret": {"secretName": "none"}})
        self.assertEqual((str(error), error.reason), ("there is no Secret none", "ContainerCreating"))
        picked = {"secret": {"secretName": "pair", "items": [{"key": "x", "path": "k"}]}}
        error = self.assertRaises(ContainerError, self.mounted, picked)
        self.assertIn("the Secret pair has no entry x", str(error))

    def test_of_the_example(self) -> None:
        """The container of the HTTPS image gets its pair."""
        made = deployment(tls_container(1), volumes=[{"name": "certs", "secret": {"secretName": "pair"}}])
        object_ = pod(stored(replica_set(stored(made), 1, 1)), 0)
        found = files(object_, object_["spec"]["containers"][0], lookup)
        self.assertEqual(sorted(found), ["/etc/certs/tls.crt", "/etc/certs/tls.key"])
