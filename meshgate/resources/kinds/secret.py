"""
Secret of Kubernetes (core/v1): its type, the names of its entries, and public facts of a certificate and its key.
The content of an entry is neither kept nor shown, and no result and no error quotes it.

Its fields are at the top level of the document.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator, Field, PlainValidator

from meshgate.resources.model import KubernetesModel, ValueForm, refuse

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


Fact = Certificate | PrivateKey | Unreadable
Facts = tuple[tuple[str, Fact | None], ...]

KEY_PAIRS: Final = (("cert", "key"), ("tls.crt", "tls.key"))
"""The entries for a server's certificate and key; the first pair that exists counts (pilot/pkg/credentials/kube)."""

_READERS: Final[Mapping[str, Callable[[bytes], Fact]]] = {
    **{certificate: read_certificate for certificate, _ in KEY_PAIRS},
    **{key: read_private_key for _, key in KEY_PAIRS},
}


def _facts(value: Any, decoded: Callable[[str], bytes]) -> Facts:
    if not isinstance(value, Mapping):
        # The value may be the secret itself, so the message does not quote it.
        refuse("MG1003", "must be a mapping")
    return tuple((name, _fact(name, content, decoded)) for name, content in sorted(value.items()))


def _fact(name: str, content: Any, decoded: Callable[[str], bytes]) -> Fact | None:
    read = _READERS.get(name)
    if read is None:
        return None
    if not isinstance(content, str):
        return Unreadable("is not text")
    try:
        return read(decoded(content))
    except (binascii.Error, ValueError):
        return Unreadable("is not in base64")


def _from_base64(text: str) -> bytes:
    return base64.b64decode("".join(text.split()), validate=True)


def _type(value: Any) -> str:
    return value if isinstance(value, str) else refuse("MG1003", "must be text")


_TEXTS: Final = ValueForm("mapping of texts to texts", {"type": "object", "additionalProperties": {"type": "string"}})


class SecretSpec(KubernetesModel):
    """The type of a Secret, and facts about its entries."""

    type: Annotated[str, BeforeValidator(_type)] = Field(default="Opaque", description="what it is for")
    data: Annotated[Facts, PlainValidator(lambda value: _facts(value, _from_base64)), _TEXTS] = Field(
        default=(), description="its entries, in base64; their content is neither kept nor shown"
    )
    string_data: Annotated[Facts, PlainValidator(lambda value: _facts(value, str.encode)), _TEXTS] = Field(
        default=(), description="further entries, as plain text; their content is neither kept nor shown"
    )

    @property
    def facts(self) -> dict[str, Fact | None]:
        """The facts about every entry, by its name."""
        return dict((*self.data, *self.string_data))

    @property
    def keys(self) -> frozenset[str]:
        """The names of all entries."""
        return frozenset(self.facts)

    @property
    def pair(self) -> tuple[str, str] | None:
        """The names of the entries for a server's certificate and key, if both exist."""
        keys = self.keys
        return next((pair for pair in KEY_PAIRS if keys.issuperset(pair)), None)

    @property
    def certificate(self) -> Certificate | None:
        """The certificate for a server, if there is one that can be read."""
        found = self.facts[self.pair[0]] if self.pair is not None else None
        return found if isinstance(found, Certificate) else None
