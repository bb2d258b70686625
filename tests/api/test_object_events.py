"""Tests of :mod:`meshgate.api.object_events`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api import object_events
from meshgate.api.collection import WriteOptions
from meshgate.api.object_events import KEPT_FOR, NORMAL, WARNING, EventRecorder, transitions
from meshgate.api.resource_types import EVENTS
from tests.api.api_objects import MemoryStore, collection_of, gateway, type_named


class EventRecorderTests(SynchronousTestCase):
    """Events of the Gateway ``a``."""

    def setUp(self) -> None:
        """The Gateway, a clock, and the recorder."""
        self.store = MemoryStore()
        self.collection = collection_of(self.store)
        create = self.collection.create(type_named("Gateway"), gateway(), WriteOptions())
        self.gateway = self.successResultOf(Deferred.fromCoroutine(create)).object
        self.now = 1_800_000_000.0
        self.recorder = EventRecorder(self.collection, lambda: self.now)

    def recorded(self) -> list[Any]:
        """All events."""
        return list(self.collection.list(EVENTS))

    def test_an_event(self) -> None:
        """It names the object, and is not stored."""
        self.recorder.record(self.gateway, WARNING, "Conflict", "another one has the port")
        (event,) = self.recorded()
        self.assertEqual(event["involvedObject"]["uid"], self.gateway["metadata"]["uid"])
        self.assertEqual((event["type"], event["reason"], event["count"]), ("Warning", "Conflict", 1))
        self.assertEqual(len(self.store.changes), 1)

    def test_once_more(self) -> None:
        """The same event is counted; another message is another event."""
        for message in ("a", "a", "b"):
            self.recorder.record(self.gateway, NORMAL, "X", message)
            self.now += 10
        found = {event["message"]: event for event in self.recorded()}
        self.assertEqual(found["a"]["count"], 2)
        self.assertNotEqual(found["a"]["firstTimestamp"], found["a"]["lastTimestamp"])
        self.assertEqual(found["b"]["count"], 1)

    def test_forgotten(self) -> None:
        """Old events go, and the oldest of too many."""
        self.recorder.record(self.gateway, NORMAL, "X", "old")
        self.now += KEPT_FOR + 1
        self.recorder.record(self.gateway, NORMAL, "X", "new")
        self.assertEqual([event["message"] for event in self.recorded()], ["new"])
        self.patch(object_events, "MOST", 3)
        for number in range(6):
            self.now += 1
            self.recorder.record(self.gateway, NORMAL, "X", str(number))
        self.assertEqual(sorted(event["message"] for event in self.recorded()), ["3", "4", "5"])


class TransitionTests(SynchronousTestCase):
    """Events of a status."""

    def status(self, **conditions: str) -> dict[str, Any]:
        """A status with these conditions."""
        return {
            "conditions": [
                {"type": name, "status": status, "reason": f"{name}Reason", "message": f"why {name}"}
                for name, status in conditions.items()
            ]
        }

    def test_transitions(self) -> None:
        """What becomes good of Programmed, and what becomes bad of the others, is told once."""
        good = self.status(Accepted="True", Programmed="True", Conflicted="False", ResolvedRefs="True")
        bad = self.status(Accepted="False", Programmed="False", Conflicted="True", ResolvedRefs="False")
        self.assertEqual(list(transitions(None, good)), [(NORMAL, "ProgrammedReason", "why Programmed")])
        self.assertEqual(
            list(transitions(good, bad)),
            [(WARNING, f"{name}Reason", f"why {name}") for name in ("Accepted", "Conflicted", "ResolvedRefs")],
        )
        self.assertEqual(list(transitions(bad, bad)), [])

    def test_the_same_again(self) -> None:
        """A resource that is not accepted has all its problems as the reason, and no further event repeats some."""
        bad = self.status(Accepted="False", Conflicted="True", ResolvedRefs="False")
        bad["conditions"][0]["message"] = "why Accepted; why ResolvedRefs"
        told = [reason for _, reason, _ in transitions(None, bad)]
        self.assertEqual(told, ["AcceptedReason", "ConflictedReason"])
