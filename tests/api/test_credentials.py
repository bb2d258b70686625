"""Tests of :mod:`meshgate.api.credentials`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from ruamel.yaml import YAML
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.credentials import LIFETIME, Credentials, ensure_credentials, write_kubeconfigs
from tests.support import new_folder

NOW = datetime(2027, 1, 15, tzinfo=UTC)


class CredentialsTests(SynchronousTestCase):
    """What is kept, and what is made again."""

    def setUp(self) -> None:
        """A folder."""
        self.folder = Path(new_folder(self)) / "api"

    def ensure(self, *hosts: str, now: datetime = NOW) -> Credentials:
        """The credentials for some hosts."""
        return ensure_credentials(self.folder, hosts or ("127.0.0.1", "localhost"), now)

    def test_made_and_kept(self) -> None:
        """Everything is made once, for the owner alone, and kept."""
        first = self.ensure()
        content = {file.name: file.read_bytes() for file in self.folder.iterdir()}
        self.assertEqual({file.stat().st_mode & 0o777 for file in self.folder.iterdir()}, {0o600})
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.ensure(now=NOW + timedelta(days=100)), first)
        self.assertEqual({file.name: file.read_bytes() for file in self.folder.iterdir()}, content)
        self.assertEqual([(user, writes) for user, _, writes in first.tokens], [("admin", True), ("reader", False)])
        self.assertEqual(len({token for _, token, _ in first.tokens}), 2)

    def test_made_again(self) -> None:
        """A certificate for other hosts, near its end, or that does not fit its key is replaced; tokens stay."""
        tokens = self.ensure().tokens
        before = (self.folder / "certificate.pem").read_bytes()
        self.ensure("10.0.0.1")
        changed = (self.folder / "certificate.pem").read_bytes()
        names = x509.load_pem_x509_certificate(changed).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        self.assertEqual([str(name) for name in names.value.get_values_for_type(x509.IPAddress)], ["10.0.0.1"])
        self.assertNotEqual(changed, before)
        self.ensure("10.0.0.1", now=NOW + LIFETIME - timedelta(days=10))
        self.assertNotEqual((self.folder / "certificate.pem").read_bytes(), changed)
        (self.folder / "key.pem").write_text("nonsense")
        self.assertEqual(self.ensure().tokens, tokens)
        self.assertIn("PRIVATE KEY", (self.folder / "key.pem").read_text())

    def test_kubeconfigs(self) -> None:
        """Each user has a file that kubectl reads; one that a person has changed stays while it works."""
        credentials = self.ensure()
        write_kubeconfigs(self.folder, credentials, "::1", 18443, "shop")
        file = self.folder / "kubeconfig"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        content = YAML(typ="safe").load(file)
        self.assertEqual(content["clusters"][0]["cluster"]["server"], "https://[::1]:18443")
        self.assertEqual(content["users"][0]["user"]["token"], credentials.tokens[0][1])
        self.assertEqual(content["contexts"][0]["context"]["namespace"], "shop")
        file.write_text(file.read_text().replace("namespace: shop", "namespace: mine"))
        write_kubeconfigs(self.folder, credentials, "::1", 18443, "shop")
        self.assertIn("namespace: mine", file.read_text())
        write_kubeconfigs(self.folder, credentials, "::1", 18444, "shop")
        self.assertIn("18444", file.read_text())
