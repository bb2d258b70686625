"""Tests of :mod:`meshgate.resources.kinds.pod`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.pod import PodSpec, WorkloadSpec, makes_pods, named_ports, pod_labels
from meshgate.resources.reader import read_text
from meshgate.resources.resource import Resource


def only(text: str) -> Resource[Any]:
    """The resource of a text without problems."""
    reading = read_text(text, "it.yaml")
    if reading.all_problems:
        raise AssertionError("\n".join(map(str, reading.all_problems)))
    (resource,) = reading.resources
    return resource


class PodTests(SynchronousTestCase):
    """Pods."""

    def test_its_labels_and_ports(self) -> None:
        """The labels and the names of ports are read, and nothing else is kept."""
        pod = only("""\
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {app: db, version: v1}, ownerReferences: []}
spec:
  hostNetwork: no
  containers:
  - {name: db, image: postgres, env: [{name: PASSWORD, value: hush}], ports: [{containerPort: 5432, name: sql}]}
  - {name: exporter, ports: [{containerPort: 9187}, {containerPort: 5433, name: sql}, {containerPort: 80, name: web}]}
status: {podIP: 10.0.0.1}
""")
        self.assertIsInstance(pod.spec, PodSpec)
        self.assertTrue(makes_pods(pod))
        self.assertEqual(dict(pod_labels(pod)), {"app": "db", "version": "v1"})
        self.assertEqual(named_ports(pod), {"sql": 5432, "web": 80})
        self.assertNotIn("hush", repr(pod))

    def test_a_template(self) -> None:
        """The labels of the Pods are those of the template, not those of the resource itself."""
        for kind in ("Deployment", "StatefulSet", "DaemonSet"):
            workload = only(f"""\
apiVersion: apps/v1
kind: {kind}
metadata: {{name: db, labels: {{app: other}}}}
spec:
  paused: off
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{creationTimestamp: null, labels: {{app: db}}, annotations: {{sidecar.istio.io/inject: "true"}}}}
    spec: {{containers: [{{name: db, ports: [{{name: sql, containerPort: 5432, protocol: TCP}}]}}]}}
""")
            self.assertIsInstance(workload.spec, WorkloadSpec)
            self.assertTrue(makes_pods(workload))
            self.assertEqual((dict(pod_labels(workload)), named_ports(workload)), ({"app": "db"}, {"sql": 5432}))

    def test_fields_that_are_missing(self) -> None:
        """A resource without a template, or whose template has no labels, has Pods without labels."""
        for spec in ("", "spec: {}", "spec: {template: }", "spec: {template: {metadata: {}, spec: {containers: }}}"):
            workload = only(f"apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {{name: db}}\n{spec}\n")
            self.assertEqual((dict(pod_labels(workload)), named_ports(workload)), ({}, {}))

    def test_templates_of_other_kinds(self) -> None:
        """Any kind may have a template of Pods, and Istio's WorkloadGroup has one of workloads."""
        pod = "template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db}]}}"
        for version, kind, spec in [
            ("batch/v1", "Job", pod),
            ("batch/v1", "CronJob", f"jobTemplate: {{spec: {{{pod}}}}}"),
            ("apps/v1", "ReplicaSet", pod),
            ("argoproj.io/v1alpha1", "Rollout", f"strategy: {{canary: {{}}}}, {pod}"),
            ("example.com/v1", "Database", pod),
            ("networking.istio.io/v1", "WorkloadGroup", "metadata: {labels: {app: db}}, template: {network: x}"),
        ]:
            source = only(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: db}}\nspec: {{{spec}}}\n")
            self.assertEqual((makes_pods(source), dict(pod_labels(source))), (True, {"app": "db"}), kind)

    def test_templates_that_are_none(self) -> None:
        """Templates of other things, and those that cannot be read, are left alone."""
        for spec in (
            "template: {metadata: {labels: {app: db}}, spec: {source: {repoURL: x}}}",
            "template: {metadata: {labels: {app: 1}}, spec: {containers: []}}",
            "template: text",
        ):
            text = f"apiVersion: example.com/v1\nkind: Set\nmetadata: {{name: x}}\nspec: {{{spec}}}\n"
            reading = read_text(text, "it.yaml")
            self.assertEqual([each.code for each in reading.all_problems], ["MG0006"], spec)

    def test_what_makes_no_pods(self) -> None:
        """A Service makes no Pods."""
        self.assertFalse(makes_pods(only("apiVersion: v1\nkind: Service\nmetadata: {name: db}\n")))
