"""
The annotations that only this gateway reads, by the kinds that may have them.

Kubernetes takes any annotation. So a misspelled one would be ignored silently, which must not happen to one that keeps
strangers out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from meshgate.resources.fault import Fault
from meshgate.resources.kinds import access_annotations, header_annotations
from meshgate.resources.kinds.bandwidth_annotation import BANDWIDTH
from meshgate.resources.problem import Severity
from meshgate.resources.wording import spelling_hint

PREFIX: Final = "meshgate.io/"

HEALTH_CHECK: Final = "meshgate.io/health-check"

KINDS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    access_annotations.ALLOW: ("Gateway",),
    access_annotations.DENY: ("Gateway",),
    access_annotations.DRY_RUN: ("Gateway",),
    header_annotations.EXPECTED: ("Gateway",),
    header_annotations.FIELDS: ("DestinationRule",),
    BANDWIDTH: ("DestinationRule",),
    HEALTH_CHECK: ("DestinationRule", "Service", "ServiceEntry"),
}
"""The kinds on which each annotation is read."""


def unread_faults(kind: str, annotations: Mapping[str, str]) -> Iterator[Fault]:
    """A warning for each annotation of ours that is not known, or not read on this kind."""
    for name in annotations:
        if not name.startswith(PREFIX):
            continue
        kinds = KINDS_OF.get(name)
        if kinds is None:
            message, hint = f"the annotation {name} is not known, and has no effect", spelling_hint(name, KINDS_OF)
        elif kind not in kinds:
            message, hint = f"the annotation {name} has no effect on a {kind}", f"it is for {' and '.join(kinds)}"
        else:
            continue
        yield Fault(("metadata", "annotations", name), "MG1101", message, hint, Severity.WARNING, points_at_key=True)
