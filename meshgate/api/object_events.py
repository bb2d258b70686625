"""
Events: what has become of an object, for ``kubectl describe`` and ``kubectl events`` (core/v1, Event).

They are kept in memory, for an hour and in a limited number; the same event once more is counted in the one that is
there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from meshgate.api.collection import Collection
from meshgate.api.objects import timestamp
from meshgate.api.presentation import now_of
from meshgate.api.resource_types import EVENTS
from meshgate.api.store_interface import Object

KEPT_FOR: Final = 3600.0
"""Seconds after its last time that an event is kept."""

MOST: Final = 1_000
"""The number of events that are kept."""

NORMAL: Final = "Normal"
WARNING: Final = "Warning"

_LONGEST_MESSAGE: Final = 1_024


class EventRecorder:
    """
    Records events.

    :param wall_clock: returns seconds since the epoch.
    """

    def __init__(self, collection: Collection, wall_clock: Callable[[], float]) -> None:
        self._collection = collection
        self._wall_clock = wall_clock
        # The times of the events that are kept, the earliest first.
        self._seen: dict[tuple[str, str], float] = {}

    def record(self, object_: Object, form: str, reason: str, message: str) -> None:
        """
        Record an event of an object.

        :param form: :data:`NORMAL` or :data:`WARNING`.
        :param reason: one word.
        :param message: a sentence, which must hold no secret.
        """
        seconds = self._wall_clock()
        now = timestamp(now_of(seconds))
        made = event_of(object_, form, reason, message[:_LONGEST_MESSAGE], now)
        key = (made["metadata"]["namespace"], made["metadata"]["name"])
        known = self._collection.find(EVENTS, key)
        if known is not None:
            made = {**made, "firstTimestamp": known["firstTimestamp"], "count": known["count"] + 1}
        self._seen.pop(key, None)
        self._seen[key] = seconds
        self._forget(seconds - KEPT_FOR)
        self._collection.put_made(EVENTS, made)

    def _forget(self, before: float) -> None:
        """Remove events that were seen last before a time, and the earliest where there are too many."""
        while self._seen:
            key = next(iter(self._seen))
            if self._seen[key] > before and len(self._seen) <= MOST:
                return
            del self._seen[key]
            self._collection.remove_made(EVENTS, key)


def event_of(object_: Object, form: str, reason: str, message: str, now: str) -> dict[str, Any]:
    """The event of an object, of which the name follows from what it says."""
    metadata = object_["metadata"]
    digest = hashlib.sha256(f"{metadata['uid']} {reason} {message}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": metadata.get("namespace") or "default"},
        "involvedObject": {
            "kind": object_["kind"],
            "apiVersion": object_["apiVersion"],
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "reason": reason,
        "message": message,
        "type": form,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "eventTime": None,
        "source": {"component": "meshgate"},
        "reportingComponent": "meshgate",
        "reportingInstance": "",
    }


def transitions(before: Any, after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """
    The events of a status that has changed: form, reason and message. A warning that another one includes is left out.

    :param before: the status before; None if there was none.
    """
    known = {each["type"]: each for each in (before or {}).get("conditions", ())}
    warned: list[str] = []
    for condition in after.get("conditions", ()):
        name, holds = condition["type"], condition["status"] == "True"
        last = known.get(name)
        if last is not None and (last["status"], last["message"]) == (condition["status"], condition["message"]):
            continue
        if name == "Programmed" and holds:
            yield NORMAL, condition["reason"], condition["message"]
        elif name != "Programmed" and holds is (name == "Conflicted") and (message := condition["message"]):
            if not any(message in each for each in warned):
                yield WARNING, condition["reason"], message
            warned.append(message)
