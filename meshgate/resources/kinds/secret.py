"""
Secret of Kubernetes (core/v1): its type, the names of what it holds, and what is public of a certificate and its key.
What it holds is never kept, nor ever shown.

Its fields stand at the document's top level.
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
"""What a Secret for a server holds, in its two forms; the first that is there counts (pilot/pkg/credentials/kube)."""

_READERS: Final[Mapping[str, Callable[[bytes], Fact]]] = {
    **{certificate: read_certificate for certificate, _ in KEY_PAIRS},
    **{key: read_private_key for _, key in KEY_PAIRS},
}


def _facts(value: Any, decoded: Callable[[str], bytes]) -> Facts:
    if not isinstance(value, Mapping):
        # What stands there instead of a mapping may be the secret itself, and so is not said.
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


_WRITTEN: Final = ValueForm("mapping of texts to texts")


class SecretSpec(KubernetesModel):
    """What is known of a Secret."""

    type: Annotated[str, BeforeValidator(_type)] = Field(default="Opaque", description="what it is for")
    data: Annotated[Facts, PlainValidator(lambda value: _facts(value, _from_base64)), _WRITTEN] = Field(
        default=(), description="what it holds, in base64; nothing of it is kept or shown"
    )
    string_data: Annotated[Facts, PlainValidator(lambda value: _facts(value, str.encode)), _WRITTEN] = Field(
        default=(), description="what is to be added, as it is; nothing of it is kept or shown"
    )

    @property
    def facts(self) -> dict[str, Fact | None]:
        """What is known of everything it holds, by name."""
        return dict((*self.data, *self.string_data))

    @property
    def keys(self) -> frozenset[str]:
        """The names of everything it holds."""
        return frozenset(self.facts)

    @property
    def pair(self) -> tuple[str, str] | None:
        """The names of the certificate and the key for a server, if it has both."""
        keys = self.keys
        return next((pair for pair in KEY_PAIRS if keys.issuperset(pair)), None)

    @property
    def certificate(self) -> Certificate | None:
        """The certificate for a server, if it has one that can be read."""
        found = self.facts[self.pair[0]] if self.pair is not None else None
        return found if isinstance(found, Certificate) else None
