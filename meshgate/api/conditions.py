"""
The conditions in the status of an object, as ``kubectl wait`` and ``kubectl describe`` read them.

The terms are those of the Kubernetes Gateway API: Accepted, Programmed, Conflicted, ResolvedRefs. They follow from the
result of compiling, and from the table that the workers serve; a condition keeps the time of its last transition for as
long as it says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from meshgate.routing.tell.statuses import ResourceStatus

UNRESOLVED: Final = frozenset({"MG2010", "MG2020", "MG2021", "MG2043", "MG2047"})
"""Problems with a reference to something that does not exist: a Gateway, a Service, a port, a subset."""

_LONGEST_MESSAGE: Final = 2_000
"""Characters; a resource may have thousands of problems."""


def status_of(
    found: ResourceStatus, codes: Iterable[str], live: bool, generation: int, before: Any, now: str
) -> dict[str, Any]:
    """
    The status of an object.

    :param found: the result of compiling.
    :param codes: the codes of the object's problems.
    :param live: True if all workers serve the table that the result is of.
    :param generation: the generation of the object that was compiled.
    :param before: the status that the object had; None if there was none.
    :param now: the present time, as Kubernetes writes it.
    """
    why = "; ".join(found.reasons)[:_LONGEST_MESSAGE]
    unresolved = bool(UNRESOLVED.intersection(codes))
    programmed = found.programmed and live
    if not found.programmed:
        reason, message = "NotProgrammed", why or "no route of this gateway rests on it"
    elif live:
        reason, message = "Programmed", "all workers serve it"
    else:
        reason, message = "Pending", "not all workers serve it yet"
    wanted = [
        ("Accepted", found.accepted, "Accepted" if found.accepted else "NotAccepted", "" if found.accepted else why),
        ("Programmed", programmed, reason, message),
        ("Conflicted", found.conflicted, "Conflict" if found.conflicted else "NoConflicts", why * found.conflicted),
        ("ResolvedRefs", not unresolved, "RefNotFound" if unresolved else "ResolvedRefs", why * unresolved),
    ]
    known = _known(before)
    return {
        "observedGeneration": generation,
        "conditions": [_condition(*each, generation, known.get(each[0]), now) for each in wanted],
    }


def _condition(
    name: str, holds: bool, reason: str, message: str, generation: int, before: Mapping[str, Any] | None, now: str
) -> dict[str, Any]:
    status = "True" if holds else "False"
    since = before["lastTransitionTime"] if before is not None and before["status"] == status else now
    return {
        "type": name,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": since,
    }


def _known(status: Any) -> Mapping[str, Mapping[str, Any]]:
    """The conditions of a status by their types."""
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions", ()) if isinstance(status, Mapping) else ()
    return {each["type"]: each for each in conditions}
