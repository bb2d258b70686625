"""The lab's certificates (X.509, RFC 5280): a root, an intermediate below it, and below that leaves for TLS servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT_LIFETIME = timedelta(days=3652)
INTERMEDIATE_LIFETIME = timedelta(days=1826)
LEAF_LIFETIME = timedelta(days=397)
"""Browsers refuse server certificates that are valid for more than 398 days."""

BACKDATED = timedelta(hours=1)
"""Certificates are valid from this long ago, for clients whose clock is behind."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_root(now: datetime) -> Credential:
    """
    Make a root certificate, signed by itself.

    :param now: the present time, with its time zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("meshgate lab root")
    builder = _dated(subject, key, now, now - BACKDATED + ROOT_LIFETIME).issuer_name(subject)
    return Credential(_as_authority(builder, key, path_length=1).sign(key, hashes.SHA256()), key)


def make_intermediate(root: Credential, now: datetime) -> Credential:
    """
    Make an authority that signs leaves, and no further authorities.

    :param now: the present time, with its time zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _below(root, _subject("meshgate lab intermediate"), key, now, INTERMEDIATE_LIFETIME)
    return Credential(_as_authority(builder, root.key, path_length=0).sign(root.key, hashes.SHA256()), key)


def make_leaf(issuer: Credential, name: str, hosts: Sequence[str], now: datetime) -> Credential:
    """
    Make the certificate of a TLS server.

    :param name: the server's name, for people; at most 64 characters (RFC 5280, appendix A.1).
    :param hosts: the DNS names that clients verify, in ASCII.
    :param now: the present time, with its time zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _below(issuer, _subject(name), key, now, LEAF_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(_authority_key(issuer.key), critical=False)
    )
    return Credential(builder.sign(issuer.key, hashes.SHA256()), key)


def _subject(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "meshgate lab"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _dated(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _below(
    issuer: Credential,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    # A certificate that outlived its issuer could not be verified in its last days.
    until = min(now - BACKDATED + lifetime, issuer.certificate.not_valid_after_utc)
    return _dated(subject, key, now, until).issuer_name(issuer.certificate.subject)


def _as_authority(
    builder: x509.CertificateBuilder, signing_key: ec.EllipticCurvePrivateKey, path_length: int
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(_authority_key(signing_key), critical=False)
    )


def _authority_key(signing_key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())


def _key_usage(digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
