"""
Secret of Kubernetes (core/v1): its type, the names of its entries, and public facts of a certificate and its key.
The content of an entry is neither kept nor shown.

Its fields are at the top level of the document.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainValidator

from meshgate.resources.kinds.key_pair import Certificate, PrivateKey, Unreadable, read_certificate, read_private_key
from meshgate.resources.model import KubernetesModel, ValueForm, refuse

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


_TEXTS: Final = ValueForm("mapping of texts to texts")


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
