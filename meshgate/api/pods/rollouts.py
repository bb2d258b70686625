"""
Rolling updates and the revisions of a Deployment: pure functions (Kubernetes, pkg/controller/deployment/rolling.go).

A Deployment keeps the ReplicaSets of its earlier templates without Pods, each with a number, so that ``kubectl rollout
undo`` finds them. While the template changes, no more Pods than the surge come on top of those that are wanted, and no
more than the allowed number is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshgate.api.store_interface import Object, value_at

REVISION: Final = "deployment.kubernetes.io/revision"
CHANGE_CAUSE: Final = "kubernetes.io/change-cause"

_HISTORY: Final = 10
_QUARTER: Final = "25%"


@dataclass(frozen=True, slots=True)
class SetSize:
    """
    The Pods of a ReplicaSet.

    :ivar wanted: the number that its spec asks for.
    :ivar ready: the number of those that are ready.
    """

    wanted: int
    ready: int


def revision_of(object_: Object) -> int:
    """The number of a ReplicaSet among those of its Deployment; 0 if it has none."""
    text = str((object_["metadata"].get("annotations") or {}).get(REVISION, ""))
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def kept_revisions(deployment: Object) -> int:
    """The number of earlier ReplicaSets that a Deployment keeps."""
    limit = value_at(deployment, ("spec", "revisionHistoryLimit"))
    return limit if isinstance(limit, int) and limit >= 0 else _HISTORY


def limits(deployment: Object, replicas: int) -> tuple[int, int]:
    """The number of Pods that may come on top of the wanted ones, and the number of those that may be missing."""
    rolling = value_at(deployment, ("spec", "strategy", "rollingUpdate"))
    given: Mapping[str, Any] = rolling if isinstance(rolling, Mapping) else {}
    surge = _count(given.get("maxSurge", _QUARTER), replicas, math.ceil)
    missing = _count(given.get("maxUnavailable", _QUARTER), replicas, math.floor)
    return (surge, missing) if surge or missing else (0, 1)


def _count(value: Any, replicas: int, rounded: Any) -> int:
    if type(value) is int and 0 <= value < 1_000:
        return value
    text = str(value)
    percent = text.removesuffix("%")
    if text.endswith("%") and percent.isascii() and percent.isdecimal() and len(percent) < 4:
        return int(rounded(int(percent) * replicas / 100))
    return int(rounded(replicas / 4))


def next_step(deployment: Object, replicas: int, new: SetSize, old: Sequence[SetSize]) -> tuple[int, tuple[int, ...]]:
    """
    The next numbers of Pods of the ReplicaSet of the present template, and of those of earlier ones.

    :param replicas: the number of Pods that the Deployment asks for.
    """
    wanted = tuple(each.wanted for each in old)
    if value_at(deployment, ("spec", "strategy", "type")) == "Recreate":
        return (new.wanted, (0,) * len(old)) if any(wanted) else (replicas, wanted)
    surge, missing = limits(deployment, replicas)
    total = new.wanted + sum(wanted)
    if new.wanted > replicas:
        return replicas, wanted
    if new.wanted < replicas and total < replicas + surge:
        return min(replicas, new.wanted + replicas + surge - total), wanted
    return new.wanted, _less(replicas - missing, new, old)


def _less(least: int, new: SetSize, old: Sequence[SetSize]) -> tuple[int, ...]:
    """
    The numbers of the earlier ReplicaSets: first those Pods go that are not ready.

    :param least: the number of Pods that have to be ready.
    """
    total = new.wanted + sum(each.wanted for each in old)
    surplus = total - least - (new.wanted - new.ready)
    numbers = []
    for each in old:
        unready = max(0, min(surplus, each.wanted - each.ready))
        surplus -= unready
        numbers.append(each.wanted - unready)
    surplus = min(surplus, new.ready + sum(each.ready for each in old) - least)
    for index, number in enumerate(numbers):
        gone = max(0, min(surplus, number))
        surplus -= gone
        numbers[index] = number - gone
    return tuple(numbers)
