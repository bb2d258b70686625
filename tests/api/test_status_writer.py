"""Tests of :mod:`meshgate.api.status_writer` and :mod:`meshgate.api.foreign_resources`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.foreign_resources import ForeignResources
from meshgate.api.status_writer import StatusWriter
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from meshgate.routing.compile.gateway_proxy import Proxy
from tests.api.api_objects import MemoryStore, collection_of, type_named

GATEWAY = type_named("Gateway")
PROXY = Proxy({"istio": "ingressgateway"}, "istio-system")

TEXT = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec: {{servers: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, hosts: ["*"]}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: ["*"]
  gateways: [{name}]
  tcp: [{{route: [{{destination: {{host: a.internal}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [a.internal]
  ports: [{{number: 7, name: tcp, protocol: TCP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
"""


def read(name: str, port: int) -> tuple[Any, ...]:
    """A Gateway of a file, with a route."""
    return read_text(TEXT.format(name=name, port=port), f"{name}.yaml", "files").resources


class StatusWriterTests(SynchronousTestCase):
    """A collection that shows the resources of files."""

    def setUp(self) -> None:
        """The collection, and the two that write to it."""
        self.collection = collection_of(MemoryStore())
        self.events: list[tuple[str, str]] = []
        self.foreign = ForeignResources(self.collection)
        self.writer = StatusWriter(self.collection, self.record, lambda: "2027-01-15T08:00:00Z")

    def record(self, object_: Any, form: str, reason: str, message: str) -> None:
        """Record an event."""
        self.events.append((object_["metadata"]["name"], reason))

    def compile(self, generation: int, *resources: Any) -> None:
        """Show and compile some resources."""
        self.foreign.show(resources)
        self.writer.compiled(compile_table(resources, PROXY, generation))

    def programmed(self, name: str) -> tuple[str, str]:
        """The status and the reason of the condition Programmed."""
        conditions = self.collection.get(GATEWAY, "default", name)["status"]["conditions"]
        found = next(each for each in conditions if each["type"] == "Programmed")
        return found["status"], found["reason"]

    def revision(self, name: str) -> str:
        """The revision of a Gateway."""
        return str(self.collection.get(GATEWAY, "default", name)["metadata"]["resourceVersion"])

    def test_pending_and_programmed(self) -> None:
        """A Gateway is pending until the workers serve its table."""
        self.compile(1, *read("a", 31400))
        self.assertEqual(self.programmed("a"), ("False", "Pending"))
        self.writer.live(1)
        self.assertEqual(self.programmed("a"), ("True", "Programmed"))
        self.assertIn(("a", "Programmed"), self.events)

    def test_others_stay(self) -> None:
        """A change of one resource touches no other: neither status nor revision nor events."""
        first, second = read("a", 31400), read("b", 31401)
        self.compile(1, *first, *second)
        self.writer.live(1)
        before, events = self.revision("a"), len(self.events)
        self.compile(2, *first, *read("b", 31402))
        self.assertEqual(self.programmed("b")[1], "Pending")
        self.assertEqual((self.programmed("a")[0], self.revision("a")), ("True", before))
        self.writer.live(2)
        self.assertEqual(self.revision("a"), before)
        self.assertEqual([name for name, _ in self.events[events:] if name != "b"], [])

    def test_an_older_table(self) -> None:
        """An older table that is served is not enough."""
        self.compile(2, *read("a", 31400))
        self.writer.live(1)
        self.assertEqual(self.programmed("a"), ("False", "Pending"))

    def test_a_changed_resource_is_one_change(self) -> None:
        """A resource that is read again is changed, not removed and added; its identity stays, its generation rises."""
        self.foreign.show(read("a", 31400))
        before = self.collection.get(GATEWAY, "default", "a")["metadata"]
        self.assertTrue(self.foreign.show(read("a", 31401)))
        after = self.collection.get(GATEWAY, "default", "a")["metadata"]
        self.assertEqual((after["uid"], after["generation"]), (before["uid"], before["generation"] + 1))

    def test_the_same_resources(self) -> None:
        """The same resources again change nothing; without them, nothing is shown."""
        resources = read("a", 31400)
        self.foreign.show(resources)
        before = self.revision("a")
        self.assertFalse(self.foreign.show(resources))
        self.assertEqual(self.revision("a"), before)
        self.assertTrue(self.foreign.show(()))
        self.assertEqual(self.collection.list(GATEWAY), [])
