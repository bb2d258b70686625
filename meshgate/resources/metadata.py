"""The metadata of a resource: name, namespace, labels, annotations and age. Other fields of it are ignored."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from meshgate.resources.model import KubernetesModel, Labels, NonEmpty, refuse
from meshgate.resources.wording import quoted, value_text

# A name is a DNS subdomain (RFC 1123, as in Kubernetes' apimachinery/pkg/util/validation).
_NAME = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
_NAMESPACE = re.compile(r"(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)?")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[-+]\d\d:\d\d)")


def _time(value: Any) -> datetime:
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:  # well-formed, but there is no such day or hour
            pass
    return refuse("MG1006", f"{value_text(value)} is not a time", "write it as 2006-01-02T15:04:05Z, or leave it out")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        refuse("MG1006", f"{quoted(text)} is not a name", "use lower-case letters, digits, - and .")
    return text


def _namespace(text: str) -> str:
    if not _NAMESPACE.fullmatch(text):
        refuse("MG1006", f"{quoted(text)} is not a namespace", "use lower-case letters, digits and -")
    return text


class Metadata(KubernetesModel):
    """The fields of the metadata that meshgate reads."""

    name: Annotated[NonEmpty, AfterValidator(_name)] = Field(description="the resource's name")
    namespace: Annotated[str, AfterValidator(_namespace)] = Field(
        default="", description="its namespace; empty for the default one"
    )
    labels: Labels = Field(default=Labels(), description="its labels")
    annotations: Labels = Field(default=Labels(), description="its annotations")
    creation_timestamp: Annotated[datetime, BeforeValidator(_time)] | None = Field(
        default=None, description="when it was created"
    )
