"""The TLS settings of servers."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Severity
from tests.reading import problems_of

FILES = {"serverCertificate": "a.crt", "privateKey": "a.key"}
CLIENT_FILES = {**FILES, "caCertificates": "ca.crt"}
MODES_WITH_CERTIFICATES = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")


def found(severity: Severity, **tls: Any) -> list[str]:
    """Codes and fields of what is wrong with a TLS server's settings."""
    server = {"port": {"number": 443, "name": "p", "protocol": "TLS"}, "hosts": ["*"], "tls": tls}
    problems = problems_of("Gateway", {"servers": [server]})
    return [
        f"{problem.code} {problem.path.removeprefix('spec.servers[0].tls.')}"
        for problem in problems
        if problem.severity is severity
    ]


def errors(**tls: Any) -> list[str]:
    """The errors."""
    return found(Severity.ERROR, **tls)


def warnings(**tls: Any) -> list[str]:
    """The warnings."""
    return found(Severity.WARNING, **tls)


class CertificateTests(SynchronousTestCase):
    """Sources of certificates."""

    def test_secrets_are_enough(self) -> None:
        """With a secret, no file is needed in any mode."""
        for mode in MODES_WITH_CERTIFICATES:
            self.assertEqual(errors(mode=mode, credentialName="c"), [])
            self.assertEqual(errors(mode=mode, credentialNames=["a", "b"]), [])

    def test_files_come_in_pairs(self) -> None:
        """A certificate needs its key, and the other way round."""
        self.assertEqual(errors(mode="SIMPLE", **FILES), [])
        self.assertEqual(errors(mode="SIMPLE", serverCertificate="a.crt"), ["MG1036 privateKey"])
        self.assertEqual(errors(mode="SIMPLE", privateKey="a.key"), ["MG1036 serverCertificate"])
        self.assertEqual(errors(mode="SIMPLE"), ["MG1036 serverCertificate"])

    def test_clients_are_checked_against_authorities(self) -> None:
        """Modes that ask clients for certificates need caCertificates beside the files."""
        for mode in ("MUTUAL", "OPTIONAL_MUTUAL"):
            self.assertEqual(errors(mode=mode, **CLIENT_FILES), [])
            self.assertEqual(errors(mode=mode, **FILES), ["MG1036 caCertificates"])

    def test_several_pairs(self) -> None:
        """Each pair of files is complete; more than two pairs are too many."""
        self.assertEqual(errors(mode="SIMPLE", tlsCertificates=[FILES, FILES]), [])
        half = [FILES, {"serverCertificate": "b.crt"}]
        self.assertEqual(errors(mode="SIMPLE", tlsCertificates=half), ["MG1036 tlsCertificates[1].privateKey"])
        self.assertEqual(warnings(mode="SIMPLE", tlsCertificates=[FILES] * 3), ["MG1037 tlsCertificates[2]"])
        self.assertEqual(warnings(mode="SIMPLE", credentialNames=["a", "b", "c"]), ["MG1037 credentialNames[2]"])

    def test_one_source_only(self) -> None:
        """Two sources contradict each other, in every mode but that of the mesh."""
        for mode in (*MODES_WITH_CERTIFICATES, "PASSTHROUGH"):
            self.assertEqual(errors(mode=mode, credentialName="c", **CLIENT_FILES), ["MG1035 credentialName"])
            self.assertEqual(errors(mode=mode, credentialName="c", credentialNames=["d"]), ["MG1035 credentialNames"])
        self.assertEqual(errors(mode="SIMPLE", tlsCertificates=[FILES], **FILES), ["MG1035 tlsCertificates"])

    def test_the_mesh_brings_its_own(self) -> None:
        """Every other certificate is one too many."""
        self.assertEqual(errors(mode="ISTIO_MUTUAL"), [])
        for field, value in {**CLIENT_FILES, "credentialName": "c", "credentialNames": ["c"]}.items():
            self.assertEqual(errors(mode="ISTIO_MUTUAL", **{field: value}), [f"MG1033 {field}"])

    def test_passing_through_needs_none(self) -> None:
        """One warning names them all."""
        for mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH"):
            self.assertEqual(errors(mode=mode, **CLIENT_FILES), [])
            self.assertEqual(warnings(mode=mode, **CLIENT_FILES), ["MG1034 serverCertificate"])
            self.assertEqual(warnings(mode=mode, caCrl="a.crl"), ["MG1034 caCrl"])
            self.assertEqual(warnings(mode=mode), [])

    def test_revoked_certificates(self) -> None:
        """The list is for clients' certificates that are checked against files."""
        self.assertEqual(errors(mode="MUTUAL", caCrl="a.crl", **CLIENT_FILES), [])
        self.assertEqual(errors(mode="SIMPLE", caCrl="a.crl", **FILES), ["MG1038 caCrl"])
        self.assertEqual(errors(mode="PASSTHROUGH", caCrl="a.crl", credentialName="c"), ["MG1038 caCrl"])


class CipherTests(SynchronousTestCase):
    """Versions and cipher suites."""

    def test_old_versions_need_old_suites(self) -> None:
        """The default suites are for TLS 1.2 and later."""
        for version in ("TLSV1_0", "TLSV1_1"):
            self.assertEqual(warnings(minProtocolVersion=version), ["MG1031 minProtocolVersion"])
            self.assertEqual(warnings(minProtocolVersion=version, cipherSuites=["AES128-SHA"]), [])
        for version in ("TLS_AUTO", "TLSV1_2", "TLSV1_3"):
            self.assertEqual(warnings(minProtocolVersion=version), [])

    def test_suites_that_are_taken(self) -> None:
        """Known ones, everything, nothing, and expressions, which begin with a sign."""
        self.assertEqual(warnings(cipherSuites=["ECDHE-RSA-AES128-GCM-SHA256", "", "ALL", "-ALL", "!aNULL"]), [])

    def test_suites_that_are_ignored(self) -> None:
        """Unknown cipher suites and repetitions are reported, each by its path."""
        suites = ["FOO", "AES128-SHA", "ALL", "AES128-SHA"]
        self.assertEqual(warnings(cipherSuites=suites), ["MG1032 cipherSuites[0]", "MG1032 cipherSuites[3]"])
