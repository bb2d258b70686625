"""
Secret of Kubernetes (core/v1): its type and the names of what it holds. What it holds is never kept, nor ever shown.

Its fields stand at the document's top level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from meshgate.resources.model import KubernetesModel, Written, refuse


def _names(value: Any) -> tuple[str, ...]:
    # What stands there instead of a mapping may be the secret itself, and so is not said.
    return tuple(sorted(value)) if isinstance(value, Mapping) else refuse("MG1003", "must be a mapping")


def _type(value: Any) -> str:
    return value if isinstance(value, str) else refuse("MG1003", "must be text")


#: The keys of a mapping, sorted; its values are forgotten.
Names = Annotated[tuple[str, ...], BeforeValidator(_names), Written("mapping of texts to texts")]


class SecretSpec(KubernetesModel):
    """What is known of a Secret."""

    type: Annotated[str, BeforeValidator(_type)] = Field(default="Opaque", description="what it is for")
    data: Names = Field(default=(), description="names of what it holds; the values are not read")
    string_data: Names = Field(default=(), description="names of what is to be added; the values are not read")

    @property
    def keys(self) -> frozenset[str]:
        """The names of everything it holds."""
        return frozenset((*self.data, *self.string_data))
