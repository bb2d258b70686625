"""
A resource as it leaves the reader: kind, metadata, a typed spec, and where it was written.

Knows the shape that all kinds share; the specs are in a module per kind beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from meshgate.resources.problem import Origin, Phase, Problem, Severity

S_co = TypeVar("S_co", covariant=True)


class ResourceKey(NamedTuple):
    """What makes a resource the same one: its kind (``Gateway``), namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Resource(Generic[S_co]):
    """
    One validated resource.

    :ivar kind: ``Gateway``, ``VirtualService`` …
    :ivar namespace: filled in from the default namespace when the document has none.
    :ivar labels: the metadata's labels; immutable.
    :ivar created: ``metadata.creationTimestamp`` with a time zone, or None where a file gives none.
    :ivar spec: the kind's own frozen model.
    :ivar annotations: the metadata's annotations; immutable.
    :ivar key: the identity under which a later document replaces an earlier one.
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
    key: ResourceKey = field(init=False, repr=False, compare=False)
    qualified_name: str = field(init=False, repr=False, compare=False)
    _order: tuple[int, float, str, int, str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Kept, since they are asked for at each change of any resource, of all of them.
        keep = partial(object.__setattr__, self)
        keep("key", ResourceKey(self.kind, self.namespace, self.name))
        keep("qualified_name", f"{self.namespace}/{self.name}")
        if self.created is not None:
            keep("_order", (0, self.created.timestamp(), "", 0, self.name, self.namespace))
        else:
            keep("_order", (1, 0.0, self.origin.file, self.origin.document, self.name, self.namespace))

    def location(self, path: str = "") -> str:
        """Where it, or a field of it, was written: ``file:line:column``."""
        return self.origin.location(path)

    def order(self) -> tuple[int, float, str, int, str, str]:
        """
        Sort key of the order in which Istio takes resources (pilot/pkg/model/config.go, sortConfigByCreationTime):
        by age, then name, then namespace. A resource without a time stamp is as old as if ``kubectl apply`` had
        just created it: after all that have one, in file name order and then document order.
        """
        return self._order

    def problem(
        self,
        severity: Severity,
        code: str,
        message: str,
        *,
        path: str = "",
        hint: str = "",
        listener: str = "",
    ) -> Problem:
        """
        A problem of this resource found by looking at several together, placed at the field it is about.

        :param path: of that field; empty for the whole resource, which stands at its first line.
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
        )
