"""Secrets and Pods: what is kept of them, and what is not."""

from __future__ import annotations

import base64
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.secret import Certificate, PrivateKey, SecretSpec, Unreadable
from meshgate.resources.reader import read_text
from tests.configurations import document
from tests.key_pairs import credential, pem

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

    def test_its_content_is_not_kept(self) -> None:
        """No content of a Secret is anywhere in the reader's result."""
        self.assertNotIn(HIDDEN, repr(read_text(SECRET, "it.yaml")))

    def test_a_secret_may_be_empty(self) -> None:
        """An empty Secret has no entries and the default type."""
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


class KeyPairTests(SynchronousTestCase):
    """Public facts of certificates and keys, which are not kept."""

    def spec(self, **fields: Any) -> SecretSpec:
        """The spec of a Secret."""
        reading = read_text(json.dumps(document("Secret", "s", fields)), "it.yaml")
        (secret,) = reading.resources
        self.assertEqual(reading.all_problems, ())
        assert isinstance(secret.spec, SecretSpec)
        return secret.spec

    def test_a_certificate_and_its_key(self) -> None:
        """Both are recognized, in both forms and with both kinds of names; they belong together."""
        certificate, key = (text.decode() for text in pem(credential()))
        encoded = {
            "cert": base64.b64encode(certificate.encode()).decode(),
            "key": base64.b64encode(key.encode()).decode(),
        }
        for fields, names in [
            ({"data": encoded}, ("cert", "key")),
            ({"stringData": {"tls.crt": certificate, "tls.key": key}}, ("tls.crt", "tls.key")),
        ]:
            spec = self.spec(**fields)
            self.assertEqual(spec.pair, names)
            found, its_key = spec.facts[names[0]], spec.facts[names[1]]
            assert isinstance(found, Certificate)
            assert isinstance(its_key, PrivateKey)
            self.assertEqual(found, spec.certificate)
            self.assertEqual(found.public_key, its_key.public_key)
            self.assertEqual(found.not_after, credential().certificate.not_valid_after_utc)
            shown = repr(spec)
            for line in (*certificate.splitlines()[1:-1], *key.splitlines()[1:-1]):
                self.assertNotIn(line[:20], shown)

    def test_what_is_neither(self) -> None:
        """Content that is neither a certificate nor a key cannot be read, and is not quoted."""
        _, key = (text.decode() for text in pem(credential()))
        for content in ("%%%", base64.b64encode(b"hush").decode(), 31415, None, [1], "aHVzaA==\n"):
            spec = self.spec(data={"tls.crt": content, "tls.key": content, "ca.crt": content})
            self.assertEqual([type(fact) for fact in spec.facts.values()], [type(None), Unreadable, Unreadable])
            self.assertIsNone(spec.certificate)
            self.assertNotIn("hush", repr(spec))
        self.assertIsInstance(self.spec(stringData={"tls.crt": key}).facts["tls.crt"], Unreadable)

    def test_what_is_added_counts(self) -> None:
        """StringData comes on top of data, as the API server has it."""
        certificate, _ = pem(credential())
        spec = self.spec(data={"tls.crt": "aHVzaA=="}, stringData={"tls.crt": certificate.decode()})
        self.assertIsInstance(spec.facts["tls.crt"], Certificate)
