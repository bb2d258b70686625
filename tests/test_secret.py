"""Secrets and Pods: what is kept of them, and what is not."""

from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.pod import PodSpec
from meshgate.resources.reader import read_text
from meshgate.resources.secret import SecretSpec

HIDDEN = base64.b64encode(b"hush").decode()
SECRET = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: tls, namespace: shop, labels: {{app: db}}}}
type: kubernetes.io/tls
immutable: true
data: {{tls.key: {HIDDEN}, tls.crt: {HIDDEN}}}
stringData: {{note: {HIDDEN}}}
"""


class SecretTests(SynchronousTestCase):
    """Secrets."""

    def test_its_type_and_the_names_of_its_keys_are_kept(self) -> None:
        """Together with name, namespace and labels."""
        reading = read_text(SECRET, "it.yaml")
        (secret,) = reading.resources
        self.assertEqual(reading.all_problems, ())
        self.assertEqual(secret.qualified_name, "shop/tls")
        self.assertEqual(dict(secret.labels), {"app": "db"})
        assert isinstance(secret.spec, SecretSpec)
        self.assertEqual(secret.spec.type, "kubernetes.io/tls")
        self.assertEqual(secret.spec.keys, {"tls.key", "tls.crt", "note"})

    def test_its_values_are_not_kept(self) -> None:
        """They are nowhere in what the reader gives."""
        self.assertNotIn(HIDDEN, repr(read_text(SECRET, "it.yaml")))

    def test_a_secret_may_be_empty(self) -> None:
        """It then has no keys and the usual type."""
        (secret,) = read_text("{apiVersion: v1, kind: Secret, metadata: {name: s}, data: null}", "it.yaml").resources
        self.assertEqual((secret.spec.type, secret.spec.keys), ("Opaque", frozenset()))

    def test_no_problem_shows_a_value(self) -> None:
        """Neither where the form is wrong, nor where YAML reads a word in two ways."""
        wrong = (
            f"data: {HIDDEN}",
            f"data: [{HIDDEN}]",
            f"stringData: {HIDDEN}",
            "type: 31415",
            "data: {a: 31415, b: 0x31415, c: yes, d: 31415e1}",
            "data: {a: {b: [31415]}}",
        )
        for line in wrong:
            text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{line}\n"
            shown = "\n".join(map(str, read_text(text, "it.yaml").all_problems))
            for value in (HIDDEN, "31415", "yes"):
                self.assertNotIn(value, shown)
        faulty = read_text(f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{wrong[0]}\n", "it.yaml").all_problems
        self.assertEqual([(problem.code, problem.path, problem.line) for problem in faulty], [("MG1003", "data", 4)])


class PodTests(SynchronousTestCase):
    """Pods."""

    def test_its_metadata_is_read_and_nothing_else(self) -> None:
        """Whatever a Pod runs, it has labels."""
        text = """\
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {app: db, version: v1}, ownerReferences: []}
spec: {containers: [{name: db, image: postgres, env: [{name: PASSWORD, value: hush}]}]}
status: {podIP: 10.0.0.1}
"""
        reading = read_text(text, "it.yaml")
        (pod,) = reading.resources
        self.assertEqual(
            (pod.kind, pod.qualified_name, dict(pod.labels)), ("Pod", "shop/p", {"app": "db", "version": "v1"})
        )
        self.assertIsInstance(pod.spec, PodSpec)
        self.assertNotIn("hush", repr(reading))
