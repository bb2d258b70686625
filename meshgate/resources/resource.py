"""Resources as the reader makes them: kind, metadata, a typed spec, and the origin."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Generic, NamedTuple, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from meshgate.resources.model import KubernetesModel, Labels, NonEmpty, refuse
from meshgate.resources.problem import Origin, Phase, Problem, Severity
from meshgate.resources.wording import quoted, value_text

S_co = TypeVar("S_co", covariant=True)


class ResourceKey(NamedTuple):
    """The identity of a resource: its kind (``Gateway``), namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


# Sorts after the name of every file: of a resource that was read and one that was created in the same second, the one
# that was read is the older one, as :class:`~meshgate.providers.first_read.FirstRead` makes sure.
_AFTER_FILES: Final = chr(0x10FFFF)


@dataclass(frozen=True, slots=True)
class Resource(Generic[S_co]):
    """
    One validated resource.

    :ivar kind: ``Gateway``, ``VirtualService`` …
    :ivar namespace: the default namespace where the document names none.
    :ivar labels: the metadata's labels; immutable.
    :ivar created: ``metadata.creationTimestamp``, with a time zone; None where a file gives none.
    :ivar spec: the kind's own frozen model.
    :ivar annotations: the metadata's annotations; immutable.
    :ivar document: the whole document as JSON, for those who show it; empty for a confidential one.
    :ivar first_read: when the gateway first read it, in seconds since the epoch; None where that does not count.
    :ivar key: the identity. Of several documents with the same one, the latest counts.
    :ivar qualified_name: ``namespace/name``.
    """

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    created: datetime | None
    spec: S_co
    origin: Origin
    annotations: Mapping[str, str] = field(default_factory=dict)
    document: bytes = field(default=b"", repr=False, compare=False)
    first_read: float | None = None
    key: ResourceKey = field(init=False, repr=False, compare=False)
    qualified_name: str = field(init=False, repr=False, compare=False)
    _order: tuple[int, float, str, int, str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once, since every change of any resource needs them of all resources.
        keep = partial(object.__setattr__, self)
        keep("key", ResourceKey(self.kind, self.namespace, self.name))
        keep("qualified_name", f"{self.namespace}/{self.name}")
        if self.created is not None:
            keep("_order", (0, self.created.timestamp(), _AFTER_FILES, 0, self.name, self.namespace))
        elif self.first_read is not None:
            keep("_order", (0, self.first_read, self.origin.file, self.origin.document, self.name, self.namespace))
        else:
            keep("_order", (1, 0.0, self.origin.file, self.origin.document, self.name, self.namespace))

    @property
    def known_since(self) -> float | None:
        """When it was created, or else first read, in seconds since the epoch; None where neither is known."""
        return self.created.timestamp() if self.created is not None else self.first_read

    def location(self, path: str = "") -> str:
        """The position of the resource, or of one of its fields, as ``file:line:column``."""
        return self.origin.location(path)

    def order(self) -> tuple[int, float, str, int, str, str]:
        """
        Return a sort key for Istio's order of resources (pilot/pkg/model/config.go, sortConfigByCreationTime).

        Resources are ordered by age, then name, then namespace. A resource without a time stamp counts as if
        ``kubectl apply`` had just created it: it comes after all that have one, in the order of file names and then
        of documents.
        """
        return self._order

    def order_in_cluster(self) -> tuple[int, float, str, int, str, str]:
        """
        Return a sort key for the order that Istio most likely finds in a cluster.

        Ages there are whole seconds, and resources that are applied together mostly have the same one. So of resources
        without a time stamp the names decide, and not the files.
        """
        known, seconds, _, _, name, namespace = self._order
        return known, seconds, "", 0, name, namespace

    def problem(
        self,
        severity: Severity,
        code: str,
        message: str,
        *,
        path: str = "",
        hint: str = "",
        listener: str = "",
        causes: tuple[Hashable, ...] = (),
    ) -> Problem:
        """
        Make a problem of this resource that analysis of several resources has found.

        :param path: the path of the field that the problem concerns, whose position it gets; empty for the resource.
        """
        line, column = self.origin.position(path)
        return Problem(
            severity=severity,
            code=code,
            message=message,
            phase=Phase.ANALYSIS,
            file=self.origin.file,
            line=line,
            column=column,
            path=path,
            hint=hint,
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            provider=self.origin.provider,
            listener=listener,
            causes=causes,
        )


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
