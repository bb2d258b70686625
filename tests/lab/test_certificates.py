"""Tests of :mod:`meshgate.lab.certificates`."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from meshgate.lab.certificates import (
    CertificatesError,
    Leaf,
    ensure_certificates,
    make_intermediate,
    make_leaf,
    make_root,
)
from tests.support import new_folder, require_program

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LEAVES = {
    "simple-tls-service-1": ["simple-sni-1.istioinaction.io"],
    "simple-tls-service-2": ["simple-sni-2.istioinaction.io", "*.two.example.com"],
}
ONE, TWO = LEAVES


def certificates(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file."""
    return x509.load_pem_x509_certificates(path.read_bytes())


def verify(folder: Path, leaf: Leaf, name: str, now: datetime) -> None:
    """
    Verify as a strict client does that was given nothing but the chain's file.

    :raises VerificationError: when it would refuse.
    """
    server, *above = certificates(leaf.certificate_chain)
    store = Store(certificates(folder / "ca-chain.cert.pem")[1:])
    PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(name)).verify(server, above)


class IssuingTests(SynchronousTestCase):
    """The fields of the certificates."""

    def setUp(self) -> None:
        """Issue one of each."""
        self.root = make_root(NOW)
        self.intermediate = make_intermediate(self.root, NOW)
        self.leaf = make_leaf(self.intermediate, "one", ["a.example.com", "*.b.example.com"], NOW)
        self.all = [each.certificate for each in (self.root, self.intermediate, self.leaf)]

    def test_keys_are_of_p_256(self) -> None:
        """Every key is on the curve that every client knows, and every one is different."""
        numbers = set()
        for certificate in self.all:
            key = certificate.public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            self.assertEqual(key.curve.name, "secp256r1")
            numbers.add(key.public_numbers())
        self.assertEqual(len(numbers), 3)

    def test_serial_numbers_are_random(self) -> None:
        """No two certificates share a serial number, and each has at least 64 bits of chance in it."""
        again = [make_root(NOW).certificate for _ in range(20)]
        serials = {certificate.serial_number for certificate in [*self.all, *again]}
        self.assertEqual(len(serials), 23)
        self.assertGreater(max(serials).bit_length(), 128)

    def test_only_authorities_may_sign_certificates(self) -> None:
        """The basic constraints and the key usage say who is an authority, critically, and how deep."""
        constraints = [each.extensions.get_extension_for_class(x509.BasicConstraints) for each in self.all]
        usages = [each.extensions.get_extension_for_class(x509.KeyUsage) for each in self.all]
        self.assertEqual(
            [(c.value.ca, c.value.path_length) for c in constraints], [(True, 1), (True, 0), (False, None)]
        )
        self.assertEqual([u.value.key_cert_sign for u in usages], [True, True, False])
        self.assertEqual([u.value.digital_signature for u in usages], [False, False, True])
        self.assertTrue(all(extension.critical for extension in [*constraints, *usages]))

    def test_a_leaf_is_for_servers_and_names_them(self) -> None:
        """The extended key usage is that of servers alone, and the names are DNS names."""
        extensions = self.leaf.certificate.extensions
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(list(usage), [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
        self.assertEqual(list(names), [x509.DNSName("a.example.com"), x509.DNSName("*.b.example.com")])

    def test_each_names_its_issuers_key(self) -> None:
        """Every authority key identifier is the subject key identifier of the one above."""
        for issued, issuer in zip(self.all, [self.all[0], *self.all], strict=False):
            wanted = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
            given = issued.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
            self.assertEqual(given, wanted)

    def test_lifetimes(self) -> None:
        """About ten years, five years, and no more than the 397 days that browsers put up with."""
        lives = [each.not_valid_after_utc - each.not_valid_before_utc for each in self.all]
        self.assertEqual(lives, [3652 * DAY, 1826 * DAY, 397 * DAY])
        self.assertTrue(all(each.not_valid_before_utc < NOW for each in self.all))

    def test_nothing_outlives_its_issuer(self) -> None:
        """A leaf issued late ends with its intermediate, not after it."""
        late = self.intermediate.certificate.not_valid_after_utc - 40 * DAY
        leaf = make_leaf(self.intermediate, "late", ["a.example.com"], late).certificate
        self.assertEqual(leaf.not_valid_after_utc, self.intermediate.certificate.not_valid_after_utc)


class EnsureTests(SynchronousTestCase):
    """Certificates in a folder, made once and kept while they are good."""

    def setUp(self) -> None:
        """Make all of them in a folder that does not exist yet."""
        self.folder = new_folder(self) / "state" / "certificates"
        self.leaves = ensure_certificates(self.folder, LEAVES, NOW)
        self.before = self.contents()

    def contents(self) -> dict[str, bytes]:
        """Every file of the folder."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def changed(self) -> set[str]:
        """The names of the files that are not as they were at first."""
        return {name for name, content in self.contents().items() if self.before.get(name) != content}

    def again(self, now: datetime = NOW + DAY) -> list[str]:
        """Ensure the certificates again, check that all are valid, and return the log."""
        with capturedLogs() as events:
            self.leaves = ensure_certificates(self.folder, LEAVES, now)
        self.assert_valid(now)
        return [f"{event['log_level'].name}: {event['log_format'].format(**event)}" for event in events]

    def assert_valid(self, now: datetime = NOW) -> None:
        """Fail unless a strict client takes every name of every leaf."""
        for name, hosts in LEAVES.items():
            for host in hosts:
                verify(self.folder, self.leaves[name], host.replace("*", "any"), now)

    def test_the_first_start_makes_a_valid_chain(self) -> None:
        """A client with the chain's file accepts every leaf under its own names."""
        self.assert_valid()

    def test_another_name_is_refused(self) -> None:
        """The certificates are good for their own names only."""
        with self.assertRaises(VerificationError):
            verify(self.folder, self.leaves[ONE], "simple-sni-2.istioinaction.io", NOW)

    def test_openssl_agrees(self) -> None:
        """OpenSSL in strict mode accepts the leaf under its name and refuses it under another."""
        openssl = require_program("openssl")
        leaf = str(self.leaves[ONE].certificate_chain)
        chain = str(self.folder / "ca-chain.cert.pem")
        command = [
            openssl,
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-attime",
            f"{NOW.timestamp():.0f}",
        ]
        command += ["-CAfile", chain, "-verify_hostname"]
        good = subprocess.run([*command, LEAVES[ONE][0], leaf], capture_output=True, check=False)
        bad = subprocess.run([*command, "other.example.com", leaf], capture_output=True, check=False)
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertIn(b"hostname mismatch", bad.stderr.lower())

    def test_the_answer_names_the_files(self) -> None:
        """Each leaf's files hold a chain of two and its key, under the leaf's name."""
        leaf = self.leaves[TWO]
        self.assertEqual(leaf.certificate_chain, self.folder / f"{TWO}.cert.pem")
        self.assertEqual(leaf.key, self.folder / f"{TWO}.key.pem")
        self.assertEqual(set(leaf.names), set(LEAVES[TWO]))
        self.assertEqual(len(certificates(leaf.certificate_chain)), 2)
        self.assertIn(b"BEGIN PRIVATE KEY", leaf.key.read_bytes())

    def test_a_second_start_changes_nothing(self) -> None:
        """Good certificates are reused, byte for byte, without a line in the log."""
        self.assertEqual(self.again(NOW + 366 * DAY), [])
        self.assertEqual(self.changed(), set())

    def test_order_and_case_of_names_do_not_matter(self) -> None:
        """The same names in another order, or in capitals, are the same names."""
        ensure_certificates(self.folder, {TWO: [host.upper() for host in reversed(LEAVES[TWO])]}, NOW)
        self.assertEqual(self.changed(), set())

    def test_a_missing_leaf_is_made(self) -> None:
        """One leaf without its file is issued by the same authority; the others stay."""
        for missing in self.leaves[ONE].certificate_chain, self.leaves[ONE].key:
            missing.unlink()
            self.again()
            self.assertEqual(self.changed(), {f"{ONE}.cert.pem", f"{ONE}.key.pem"})

    def test_a_leaf_near_its_end_is_made_anew(self) -> None:
        """With less than thirty days left, leaves are issued anew by the same authority."""
        log = self.again(NOW + 368 * DAY)
        self.assertEqual(self.changed(), {f"{name}.{what}.pem" for name in LEAVES for what in ("cert", "key")})
        self.assertEqual(len(log), 2)
        self.assertIn(f"{ONE} is issued again, because {ONE}.cert.pem ends on 2027-12-24", log[0])

    def test_a_leaf_with_other_names_is_made_anew(self) -> None:
        """A host more or less means a new certificate for that leaf, and no new authority."""
        with capturedLogs() as events:
            leaves = ensure_certificates(self.folder, {**LEAVES, ONE: ["new.example.com"]}, NOW)
        self.assertEqual(self.changed(), {f"{ONE}.cert.pem", f"{ONE}.key.pem"})
        verify(self.folder, leaves[ONE], "new.example.com", NOW)
        self.assertEqual([str(event["reason"]) for event in events], [f"its names were {LEAVES[ONE][0]}"])

    def test_a_damaged_leaf_is_made_anew(self) -> None:
        """Rubbish, half a file, another's key or certificate: each is replaced, and nothing else."""
        chain, key = self.leaves[ONE].certificate_chain, self.leaves[ONE].key
        elsewhere = ensure_certificates(new_folder(self), LEAVES, NOW)[ONE]
        foreign_chain, foreign_key = elsewhere.certificate_chain.read_bytes(), elsewhere.key.read_bytes()
        above = (self.folder / "intermediate.cert.pem").read_bytes()
        damages: dict[str, dict[Path, bytes]] = {
            "is damaged": {chain: b"rubbish"},
            f"{ONE}.key.pem is damaged": {key: key.read_bytes()[:100]},
            "do not belong together": {key: self.leaves[TWO].key.read_bytes()},
            "does not have the present chain": {chain: chain.read_bytes().removesuffix(above)},
            "present chain": {chain: foreign_chain, key: foreign_key},
            "was signed by another authority": {chain: first(foreign_chain) + above, key: foreign_key},
        }
        for reason, damage in damages.items():
            for path, content in damage.items():
                path.write_bytes(content)
            (line,) = self.again()
            self.assertIn(reason, line)
            self.assertEqual(self.changed(), {chain.name, key.name})
            for name, content in self.before.items():
                (self.folder / name).write_bytes(content)

    def test_a_lost_chain_file_is_written_again(self) -> None:
        """The chain for clients is repaired without touching any certificate."""
        chain = self.folder / "ca-chain.cert.pem"
        for spoil in (chain.unlink, lambda: chain.write_bytes(b"half")):
            spoil()
            self.assertEqual(self.again(), [])
            self.assertEqual(self.changed(), set())

    def test_an_unusable_authority_means_all_is_made_anew(self) -> None:
        """Missing, damaged, mixed up: everything is replaced, with exactly one warning that gives the reason."""
        other = new_folder(self)
        ensure_certificates(other, LEAVES, NOW)
        damages = {
            "root.key.pem is missing": ("root.key.pem", None),
            "intermediate.cert.pem or intermediate.key.pem is damaged": ("intermediate.cert.pem", b"?"),
            "do not belong together": ("root.cert.pem", (other / "root.cert.pem").read_bytes()),
        }
        for reason, (name, content) in damages.items():
            if content is None:
                (self.folder / name).unlink()
            else:
                (self.folder / name).write_bytes(content)
            (line,) = self.again()
            self.assertTrue(line.startswith("warn: all certificates in "), line)
            self.assertIn(reason, line)
            self.assertEqual(self.changed(), set(self.before))
            self.before = self.contents()

    def test_authorities_that_do_not_fit_each_other_are_replaced(self) -> None:
        """An intermediate below another root is of no use."""
        other = new_folder(self)
        ensure_certificates(other, LEAVES, NOW)
        for name in ("root.cert.pem", "root.key.pem"):
            (self.folder / name).write_bytes((other / name).read_bytes())
        (line,) = self.again()
        self.assertIn("intermediate.cert.pem was not signed by the root beside it", line)

    def test_an_authority_near_its_end_means_all_is_made_anew(self) -> None:
        """After five years, everything is replaced, with one warning."""
        (line,) = self.again(NOW + 1800 * DAY)
        self.assertIn("because intermediate.cert.pem ends on 2031-11-22", line)
        self.assertEqual(self.changed(), set(self.before))

    def test_a_clock_set_back_means_all_is_made_anew(self) -> None:
        """Certificates of the future are refused by every client, so they are not kept."""
        (line,) = self.again(NOW - 10 * DAY)
        self.assertIn("is not valid before 2026-11-22", line)

    def test_keys_are_their_owners_alone(self) -> None:
        """Even without a umask, keys have mode 0600 and a new folder 0700; certificates are for all."""
        self.addCleanup(os.umask, os.umask(0))
        folder = new_folder(self) / "new"
        ensure_certificates(folder, LEAVES, NOW)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        self.assertEqual({mode for name, mode in modes.items() if name.endswith(".key.pem")}, {0o600})
        self.assertEqual({mode for name, mode in modes.items() if name.endswith(".cert.pem")}, {0o644})
        self.assertEqual(len(modes), 9)
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)

    def test_keys_are_private_before_they_are_complete(self) -> None:
        """Only the owner can read a file that is still being written."""
        self.addCleanup(os.umask, os.umask(0))
        modes = []
        self.patch(os, "fsync", lambda descriptor: None)
        fchmod = os.fchmod

        def seen(descriptor: int, mode: int) -> None:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
            fchmod(descriptor, mode)

        self.patch(os, "fchmod", seen)
        ensure_certificates(new_folder(self), LEAVES, NOW)
        self.assertEqual(modes, [0o600] * 9)

    def test_a_crash_at_any_write_is_healed_by_the_next_start(self) -> None:
        """Whichever write is the last before a crash, the next start makes all valid."""
        replace = Path.replace
        for survivors in range(9):
            folder = new_folder(self)
            left = iter(range(survivors))

            def crashing(path: Path, target: Path, left: Iterator[int] = left) -> Path:
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return replace(path, target)

            patch = self.patch(Path, "replace", crashing)
            with self.assertRaises(KeyboardInterrupt):
                ensure_certificates(folder, LEAVES, NOW)
            patch.restore()
            self.assertEqual(len(list(folder.iterdir())), survivors)
            self.folder = folder
            self.again()

    def test_a_full_disk_is_an_error_for_people_and_harms_nothing(self) -> None:
        """When a file cannot be written, the old one stays, and the message has the folder and the reason."""

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "fsync", full)
        with self.assertRaises(CertificatesError) as caught:
            ensure_certificates(self.folder, {**LEAVES, ONE: ["new.example.com"]}, NOW)
        self.assertEqual(
            str(caught.exception),
            f"the lab's certificates cannot be stored in {self.folder}: No space left on device",
        )
        self.assertEqual(self.contents(), self.before)

    def test_a_folder_that_cannot_be_made_is_an_error_for_people(self) -> None:
        """If the folder is a file, the message names it."""
        path = new_folder(self) / "file"
        path.write_text("not a folder")
        for folder in (path, path / "below"):
            with self.assertRaises(CertificatesError) as caught:
                ensure_certificates(folder, LEAVES, NOW)
            self.assertIn(f"cannot be stored in {folder}: ", str(caught.exception))

    def test_names_that_no_certificate_can_have_are_refused(self) -> None:
        """Names that would leave the folder or overwrite an authority, and hosts that are no host names."""
        host = ["a.example.com"]
        refused: dict[str, dict[str, list[str]]] = {
            "'../up'": {"../up": host},
            "'root'": {"root": host},
            "'ca-chain'": {"ca-chain": host},
            "''": {"": host},
            f"'{'n' * 65}'": {"n" * 65: host},
            "at least one host": {"one": []},
            "'no good.example.com'": {"one": ["no good.example.com"]},
            "'b\u00fccher.example.com'": {"one": ["b\u00fccher.example.com"]},
            "'127.0.0.1'": {"one": ["127.0.0.1"]},
            "'a.*.example.com'": {"one": ["a.*.example.com"]},
            f"'{'l' * 64}.com'": {"one": ["l" * 64 + ".com"]},
        }
        for message, leaves in refused.items():
            with self.assertRaises(CertificatesError) as caught:
                ensure_certificates(self.folder, leaves, NOW)
            self.assertIn(message, str(caught.exception))
        self.assertEqual(self.contents(), self.before)


def first(chain: bytes) -> bytes:
    """The first certificate of a PEM file."""
    end = b"-----END CERTIFICATE-----\n"
    return chain[: chain.index(end) + len(end)]
