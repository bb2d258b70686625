"""Tests of :mod:`meshgate.api.credentials`."""

from __future__ import annotations

import os
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

    def test_whatever_the_umask_is(self) -> None:
        """Files and the folder are for their owner alone with any umask, and where they were open before."""
        for umask in (0o000, 0o777):
            before = os.umask(umask)
            try:
                folder = self.folder / f"{umask}"
                self.folder.mkdir(mode=0o700, exist_ok=True)
                self.folder.chmod(0o700)
                credentials = ensure_credentials(folder, ["localhost"], NOW)
                write_kubeconfigs(folder, credentials, "127.0.0.1", 1, "a")
            finally:
                os.umask(before)
            self.assertEqual({file.stat().st_mode & 0o777 for file in folder.iterdir()}, {0o600})
            self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755)
        ensure_credentials(folder, ["localhost"], NOW)
        write_kubeconfigs(folder, credentials, "127.0.0.1", 1, "a")
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        secrets = ("key.pem", "admin.token", "reader.token", "kubeconfig", "kubeconfig.reader")
        self.assertEqual({(folder / name).stat().st_mode & 0o777 for name in secrets}, {0o600})

    def test_links(self) -> None:
        """A file is replaced in its folder, and not where a link of that name leads."""
        self.folder.mkdir(parents=True)
        target = self.folder.parent / "target"
        target.write_text("mine")
        for name in ("admin.token", ".admin.token.new", "key.pem", ".key.pem.new", ".kubeconfig.new", "kubeconfig"):
            (self.folder / name).symlink_to(target)
        write_kubeconfigs(self.folder, self.ensure(), "127.0.0.1", 1, "a")
        self.assertEqual(target.read_text(), "mine")
        self.assertFalse((self.folder / "key.pem").is_symlink())

    def test_a_folder_of_another_user(self) -> None:
        """It is refused: that user could have put tokens there."""
        self.folder.mkdir(parents=True)
        self.patch(os, "geteuid", lambda: self.folder.stat().st_uid + 1)
        if self.folder.stat().st_uid == 0:
            os.chown(self.folder, 4242, 4242)
        refused = self.assertRaises(PermissionError, self.ensure)
        self.assertIn("belongs to another user", str(refused))

    def test_without_credentials(self) -> None:
        """An API over HTTP has one file, without a token; after it, HTTPS has its files again."""
        credentials = self.ensure()
        write_kubeconfigs(self.folder, credentials, "127.0.0.1", 18443, "shop")
        write_kubeconfigs(self.folder, None, "127.0.0.1", 18443, "shop")
        content = YAML(typ="safe").load(self.folder / "kubeconfig")
        self.assertEqual(content["clusters"][0]["cluster"], {"server": "http://127.0.0.1:18443"})
        self.assertEqual(content["users"][0]["user"], {})
        self.assertFalse((self.folder / "kubeconfig.reader").exists())
        write_kubeconfigs(self.folder, credentials, "0.0.0.0", 18443, "shop")
        content = YAML(typ="safe").load(self.folder / "kubeconfig")
        self.assertEqual(content["clusters"][0]["cluster"]["server"], "https://127.0.0.1:18443")
        self.assertEqual(content["users"][0]["user"]["token"], credentials.tokens[0][1])
