"""
What is known of certificates and private keys without keeping them: whether they can be read, and what is public.

Nothing here quotes what it was given, in whatever error.
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

    :ivar fingerprint: SHA-256 of it, in hex.
    :ivar public_key: SHA-256 of its key, in hex.
    """

    fingerprint: str
    public_key: str
    not_before: datetime
    not_after: datetime


class PrivateKey(NamedTuple):
    """
    A private key.

    :ivar public_key: SHA-256 of the public half, in hex; as that of the certificate it belongs to.
    """

    public_key: str


class Unreadable(NamedTuple):
    """
    Something that is neither.

    :ivar reason: what is wrong, to follow a name: ``holds no certificate``.
    """

    reason: str


def read_certificate(pem: bytes) -> Certificate | Unreadable:
    """:param pem: one certificate or more, the server's own first."""
    # Few configurations have Secrets, and this takes a while to import.
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old certificates have oddities that are no business of their reader
            first = load_pem_x509_certificates(pem)[0]
        return Certificate(
            hashlib.sha256(first.public_bytes(Encoding.DER)).hexdigest(),
            _digest(first.public_key()),
            first.not_valid_before_utc,
            first.not_valid_after_utc,
        )
    except Exception:  # whatever is wrong with it, and whoever finds out, it cannot be used
        return Unreadable("holds no certificate in PEM form")


def read_private_key(pem: bytes) -> PrivateKey | Unreadable:
    """:param pem: one key, not encrypted."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: Any = load_pem_private_key(pem, None)
        return PrivateKey(_digest(key.public_key()))
    except Exception:
        return Unreadable("holds no private key in PEM form")


def _digest(key: PublicKeyTypes) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
