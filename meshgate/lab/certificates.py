"""
The lab's certificates (X.509, RFC 5280): a root, an intermediate below it, and below that leaves for TLS servers.

They are kept in a folder: a missing certificate is made, a good one is kept, any other is replaced. The files are
``ca-chain.cert.pem`` (intermediate and root, for clients to trust), for each leaf ``NAME.cert.pem`` (leaf and
intermediate, for the server to send) and ``NAME.key.pem``, and the same pair for ``root`` and ``intermediate``.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.logger import Logger

CHAIN_FILE = "ca-chain.cert.pem"
"""The file for clients to trust."""

ROOT_LIFETIME = timedelta(days=3652)
INTERMEDIATE_LIFETIME = timedelta(days=1826)
LEAF_LIFETIME = timedelta(days=397)
"""Browsers refuse server certificates that are valid for more than 398 days."""

BACKDATED = timedelta(hours=1)
"""Certificates are valid from this long ago, for clients whose clock is behind."""

RENEWED_BEFORE_END = timedelta(days=30)
"""A certificate that ends sooner than this is replaced at the next start."""

_AUTHORITIES = ("root", "intermediate")
_RESERVED = {*_AUTHORITIES, CHAIN_FILE.removesuffix(".cert.pem")}
_FILE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The last label of a host name is never a number (RFC 3696, section 2): that would be an IP address.
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(\*\.)?({_LABEL}\.)*(?!\d+\Z){_LABEL}", re.IGNORECASE)

_log = Logger()


class CertificatesError(Exception):
    """The lab's certificates cannot be made or stored. The message is a sentence for people."""


class _UnusableError(Exception):
    """Files that exist cannot be used. The message follows "because"."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """
    The files of one TLS server.

    :ivar certificate_chain: PEM, the leaf first, then the intermediate.
    :ivar key: PEM, not encrypted, readable by its owner only.
    :ivar names: the DNS names in the certificate.
    """

    certificate_chain: Path
    key: Path
    names: tuple[str, ...]


def ensure_certificates(folder: Path, leaves: Mapping[str, Sequence[str]], now: datetime) -> dict[str, Leaf]:
    """
    Make sure that the folder has a valid certificate for each leaf, all below one root.

    A good leaf is kept. A leaf that is missing, unreadable, within 30 days of its end or made for other names is issued
    again. If the authorities themselves cannot be used, all certificates are issued again, with one warning in the log.

    :param folder: made if it is missing, for its owner only.
    :param leaves: the DNS names of each leaf, by the leaf's name.
    :param now: the present time, with its time zone.
    :return: the files of each leaf.
    :raises CertificatesError: for names that no certificate can have, or if the folder cannot be used.
    """
    names = {name: _checked_names(name, hosts) for name, hosts in leaves.items()}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        issuer, is_new = _ensure_authorities(folder, now)
        for name, hosts in names.items():
            if is_new or not _can_stay(folder, name, hosts, issuer, now):
                _store(folder, name, make_leaf(issuer, name, hosts, now), issuer.certificate)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CertificatesError(f"the lab's certificates cannot be stored in {folder}: {reason}") from error
    return {
        name: Leaf(_certificate_path(folder, name), _key_path(folder, name), hosts) for name, hosts in names.items()
    }


def _checked_names(name: str, hosts: Sequence[str]) -> tuple[str, ...]:
    if not _FILE_NAME.fullmatch(name) or name in _RESERVED:
        raise CertificatesError(
            f"no certificate can be named {name!r} (write at most 64 letters, digits, dots and dashes; none of "
            f"{', '.join(sorted(_RESERVED))})"
        )
    if not hosts:
        raise CertificatesError(f"the certificate of {name} needs at least one host")
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise CertificatesError(
                f"the certificate of {name} cannot be made for {host!r} (a host name in ASCII, such as "
                "www.example.com or *.example.com)"
            )
    return tuple(sorted({host.lower() for host in hosts}))


def _ensure_authorities(folder: Path, now: datetime) -> tuple[Credential, bool]:
    """Load the intermediate, or make it and the root; return it, and true if it is new."""
    is_new = False
    try:
        root, intermediate = _load_authorities(folder, now)
    except _UnusableError as reason:
        if any(_certificate_path(folder, name).exists() for name in _AUTHORITIES):
            _log.warn(
                "all certificates in {folder} are issued again, because {reason}; clients need the new {chain}",
                folder=folder,
                reason=reason,
                chain=CHAIN_FILE,
            )
        root = make_root(now)
        intermediate = make_intermediate(root, now)
        _store(folder, "root", root)
        _store(folder, "intermediate", intermediate)
        is_new = True
    _store_chain(folder, _pem(intermediate.certificate, root.certificate))
    return intermediate, is_new


def _load_authorities(folder: Path, now: datetime) -> tuple[Credential, Credential]:
    root, intermediate = (_load(folder, name, now) for name in _AUTHORITIES)
    for name, credential, issuer in (("root", root, root), ("intermediate", intermediate, root)):
        if not _is_issued_by(credential.certificate, issuer.certificate):
            raise _UnusableError(f"{name}.cert.pem was not signed by the root beside it")
    return root, intermediate


def _store_chain(folder: Path, chain: bytes) -> None:
    path = folder / CHAIN_FILE
    if not path.is_file() or path.read_bytes() != chain:
        _replace(path, chain, mode=0o644)


def _can_stay(folder: Path, name: str, wanted: tuple[str, ...], issuer: Credential, now: datetime) -> bool:
    """Return true if a leaf is good; otherwise log why it is not."""
    try:
        leaf = _load(folder, name, now, issuer.certificate).certificate
        if not _is_issued_by(leaf, issuer.certificate):
            raise _UnusableError(f"{name}.cert.pem was signed by another authority")
        if _names(leaf) != wanted:
            raise _UnusableError(f"its names were {', '.join(_names(leaf))}")
    except _UnusableError as reason:
        _log.info("the certificate of {name} is issued again, because {reason}", name=name, reason=reason)
        return False
    return True


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(sorted(names.get_values_for_type(x509.DNSName)))


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _load(folder: Path, name: str, now: datetime, *above: x509.Certificate) -> Credential:
    """
    Read a certificate and its key, and check the two.

    :param above: the certificates that must follow the first one in the file.
    :raises _UnusableError: if the files cannot be used.
    """
    path = _certificate_path(folder, name)
    try:
        certificate, *following = x509.load_pem_x509_certificates(path.read_bytes())
        key = serialization.load_pem_private_key(_key_path(folder, name).read_bytes(), password=None)
    except FileNotFoundError as error:
        raise _UnusableError(f"{Path(error.filename).name} is missing") from error
    except OSError as error:
        raise _UnusableError(f"{Path(error.filename).name} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _UnusableError(f"{path.name} or {name}.key.pem is damaged") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise _UnusableError(f"{path.name} and {name}.key.pem do not belong together")
    if following != list(above):
        raise _UnusableError(f"{path.name} does not have the present chain")
    _check_dates(path.name, certificate, now)
    return Credential(certificate, key)


def _check_dates(file_name: str, certificate: x509.Certificate, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        raise _UnusableError(f"{file_name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}")
    if certificate.not_valid_after_utc - now < RENEWED_BEFORE_END:
        raise _UnusableError(f"{file_name} ends on {certificate.not_valid_after_utc:%Y-%m-%d}")


def _store(folder: Path, name: str, credential: Credential, *above: x509.Certificate) -> None:
    key = credential.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _replace(_key_path(folder, name), key, mode=0o600)
    _replace(_certificate_path(folder, name), _pem(credential.certificate, *above), mode=0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that it is always complete, with the old content or the new, even after a crash."""
    # mkstemp opens with O_EXCL and mode 0600, so that only the owner can ever read a key.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _certificate_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.cert.pem"


def _key_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.key.pem"


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
