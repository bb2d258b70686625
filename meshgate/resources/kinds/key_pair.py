"""
Public facts of certificates and private keys, which are themselves never kept.

No result and no error quotes the content that was read.
"""

from __future__ import annotations

import hashlib
import warnings
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes


class Certificate(NamedTuple):
    """
    The first certificate of a chain.

    :ivar fingerprint: SHA-256 of the certificate, in hexadecimal digits.
    :ivar public_key: SHA-256 of its public key, in hexadecimal digits.
    :ivar not_before: the time from which it is valid.
    :ivar not_after: the time until which it is valid.
    """

    fingerprint: str
    public_key: str
    not_before: datetime
    not_after: datetime


class PrivateKey(NamedTuple):
    """
    A private key.

    :ivar public_key: SHA-256 of the public key, in hexadecimal digits; equal to that of the certificate of the pair.
    """

    public_key: str


class Unreadable(NamedTuple):
    """
    Content that is neither a certificate nor a key.

    :ivar reason: what is wrong with it, as the predicate of a sentence: ``holds no certificate in PEM form``.
    """

    reason: str


def read_certificate(pem: bytes) -> Certificate | Unreadable:
    """
    Read a certificate.

    :param pem: one certificate or more, that of the server first.
    """
    # Imported here since few configurations have Secrets, and the import takes a while.
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old certificates have oddities that do not matter here
            first = load_pem_x509_certificates(pem)[0]
        return Certificate(
            hashlib.sha256(first.public_bytes(Encoding.DER)).hexdigest(),
            _digest(first.public_key()),
            first.not_valid_before_utc,
            first.not_valid_after_utc,
        )
    except Exception:  # of any type: the certificate cannot be used
        return Unreadable("holds no certificate in PEM form")


def read_private_key(pem: bytes) -> PrivateKey | Unreadable:
    """
    Read a private key.

    :param pem: one key, not encrypted.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: Any = load_pem_private_key(pem, None)
        return PrivateKey(_digest(key.public_key()))
    except Exception:
        return Unreadable("holds no private key in PEM form")


def _digest(key: PublicKeyTypes) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
