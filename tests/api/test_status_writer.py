"""Tests of :mod:`meshgate.api.status_writer` and :mod:`meshgate.api.unstored_objects`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.collection import WriteOptions
from meshgate.api.status_writer import StatusWriter
from meshgate.api.unstored_objects import ORIGIN, ForeignResources
from meshgate.providers.compiling import CompilerState, compile_state
from meshgate.providers.feed import FeedState
from meshgate.resources.phases import at_once
from meshgate.resources.problem import Origin
from meshgate.resources.reader import read_document, read_text
from meshgate.resources.resource import ResourceKey
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.table import ListenerKey
from tests.api.api_objects import MemoryStore, collection_of, gateway, type_named

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

EXTRA = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: extra}
spec:
  servers:
  - {port: {number: 31400, name: sni, protocol: TLS}, hosts: ["*"], tls: {mode: PASSTHROUGH}}
  - {port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}
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
        self.now = "2027-01-15T08:00:00Z"
        self.writer = StatusWriter(self.collection, self.record, lambda: self.now)
        self.state = CompilerState()

    def record(self, object_: Any, form: str, reason: str, message: str) -> None:
        """Record an event."""
        self.events.append((object_["metadata"]["name"], reason))

    def compile(self, generation: int, *resources: Any) -> None:
        """Show and compile some resources."""
        self.writer.compiled(self.compilation(generation, *resources))

    def compilation(self, generation: int, *resources: Any) -> Compilation:
        """Show some resources, and compile them."""
        state = FeedState(self.foreign.show(resources))
        return at_once(compile_state(state, PROXY, generation, self.state))

    def condition(self, name: str, condition: str = "Programmed", kind: str = "Gateway") -> dict[str, Any]:
        """A condition of an object."""
        conditions = self.collection.get(type_named(kind), "default", name)["status"]["conditions"]
        return dict(next(each for each in conditions if each["type"] == condition))

    def programmed(self, name: str) -> tuple[str, str]:
        """The status and the reason of the condition Programmed."""
        found = self.condition(name)
        return found["status"], found["reason"]

    def listeners(self, name: str) -> list[dict[str, Any]]:
        """The listeners in the status of a Gateway."""
        return list(self.collection.get(GATEWAY, "default", name)["status"]["listeners"])

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
        self.foreign.show(read("a", 31401))
        self.assertTrue(self.foreign.changed)
        after = self.collection.get(GATEWAY, "default", "a")["metadata"]
        self.assertEqual((after["uid"], after["generation"]), (before["uid"], before["generation"] + 1))

    def test_the_same_resources(self) -> None:
        """The same resources again change nothing; without them, nothing is shown."""
        resources = read("a", 31400)
        self.foreign.show(resources)
        before = self.revision("a")
        self.foreign.show(resources)
        self.assertFalse(self.foreign.changed)
        self.assertEqual(self.revision("a"), before)
        self.foreign.show(())
        self.assertTrue(self.foreign.changed)
        self.assertEqual(self.collection.list(GATEWAY), [])

    def test_the_same_objects_are_given_back(self) -> None:
        """A resource that has not changed is given back as the same object, so that it is not compiled again."""
        resources = read("a", 31400)
        first, second = self.foreign.show(resources), self.foreign.show(resources)
        self.assertTrue(all(one is other for one, other in zip(first, second, strict=True)))

    def test_one_of_two_files_goes(self) -> None:
        """Of two files with one resource, the last is shown; without it, the other one."""
        first, second = read("a", 31400), read("a", 31401)
        second = tuple(replace(each, origin=replace(each.origin, file="z.yaml")) for each in second)
        self.foreign.show((*second, *first))
        self.assertEqual(self.port("a"), 31401)
        self.foreign.show(first)
        self.assertEqual(self.port("a"), 31400)

    def port(self, name: str) -> int:
        """The port of a Gateway that is shown."""
        return int(self.collection.get(GATEWAY, "default", name)["spec"]["servers"][0]["port"]["number"])

    def test_origin_and_age(self) -> None:
        """An object of a file says where it is from, when it was first read, and nothing of another cluster."""
        found = read("a", 31400)[0]
        document = json.loads(found.document)
        document["metadata"] |= {"uid": "x", "resourceVersion": "7", "annotations": {"b": "c"}}
        self.foreign.show((replace(found, first_read=1_700_000_000.0, document=json.dumps(document).encode()),))
        metadata = self.collection.get(GATEWAY, "default", "a")["metadata"]
        self.assertEqual(metadata["annotations"], {"b": "c", ORIGIN: "a.yaml:1:1"})
        self.assertEqual(metadata["creationTimestamp"], "2023-11-14T22:13:20Z")
        self.assertNotEqual(metadata["uid"], "x")

    def test_listeners(self) -> None:
        """A Gateway tells of each server if it is open, why not, and how many routes are attached."""
        self.compile(1, *read("a", 31400), *read_text(EXTRA, "extra.yaml", "files").resources)
        self.writer.live(1)
        named = {"name": "tcp", "port": 31400, "protocol": "TCP", "hosts": ["*"]}
        self.assertEqual(self.listeners("a"), [{**named, "open": True, "attachedRoutes": 1}])
        lost, http = self.listeners("extra")
        self.assertEqual((lost["open"], lost["attachedRoutes"]), (False, 0))
        self.assertIn("default/a", lost["message"])
        self.assertFalse(http["open"])
        self.assertIn("MG2030", http["message"])
        taken = self.collection.get(type_named("VirtualService"), "default", "a")["status"]["gateways"]
        self.assertEqual(taken, [{"name": "default/a", "programmed": True, "ports": [31400]}])

    def test_a_route_of_a_gateway_that_lost_its_port(self) -> None:
        """A VirtualService without a fault of its own says whose status has the reason."""
        self.compile(1, *read("a", 31400), *read("b", 31400))
        self.assertEqual(
            self.condition("b", kind="VirtualService")["message"],
            "none of its Gateways has a server that serves its rules; their status says why: kubectl describe gw b -n "
            "default",
        )

    def test_workload_entries(self) -> None:
        """A WorkloadEntry is programmed if routes lead to its address."""
        text = "\n---\n".join(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
            f"metadata: {{name: {name}}}\nspec: {{address: {address}}}"
            for name, address in (("used", "127.0.0.1"), ("idle", "127.0.0.9"))
        )
        self.compile(1, *read("a", 31400), *read_text(text, "workloads.yaml", "files").resources)
        self.writer.live(1)
        self.assertEqual(self.condition("used", kind="WorkloadEntry")["status"], "True")
        self.assertEqual(self.condition("idle", kind="WorkloadEntry")["status"], "False")

    def test_a_port_that_fails(self) -> None:
        """A Gateway whose port cannot be opened is not programmed, and says why; it is once the port is open."""
        self.compile(1, *read("a", 31400))
        self.writer.live(1)
        self.writer.ports_failed({ListenerKey("0.0.0.0", 31400): "in use by another process"})
        found = self.condition("a")
        self.assertEqual((found["status"], found["reason"]), ("False", "PortUnavailable"))
        self.assertIn("in use by another process", found["message"])
        self.assertFalse(self.listeners("a")[0]["open"])
        self.assertEqual(self.condition("a", kind="VirtualService")["status"], "False")
        self.writer.ports_failed({})
        self.assertEqual((self.programmed("a")[0], self.listeners("a")[0]["open"]), ("True", True))

    def test_transitions(self) -> None:
        """The time of a transition stays as long as the status does, even if the generation changes."""
        self.compile(1, *read("a", 31400))
        self.writer.live(1)
        since = self.condition("a", "Accepted")["lastTransitionTime"]
        self.now = "2027-01-15T09:00:00Z"
        self.compile(2, *read("a", 31401))
        self.writer.live(2)
        self.assertEqual(self.condition("a", "Accepted")["lastTransitionTime"], since)
        self.assertEqual(self.condition("a", "Accepted")["observedGeneration"], 2)
        self.assertEqual(self.condition("a")["lastTransitionTime"], self.now)

    def test_the_state_that_was_compiled(self) -> None:
        """A result that is of an older state says so, and does not call the newer one programmed."""
        old = self.compilation(1, *read("a", 31400))
        self.foreign.show(read("a", 31401))
        self.writer.compiled(old)
        self.writer.live(1)
        found = self.collection.get(GATEWAY, "default", "a")
        self.assertEqual((found["metadata"]["generation"], found["status"]["observedGeneration"]), (2, 1))

    def test_a_change_is_not_programmed_at_once(self) -> None:
        """As soon as the content changes, and before anything is compiled, the object is programmed no longer."""
        self.compile(1, *read("a", 31400))
        self.writer.live(1)
        self.foreign.show(read("a", 31401))
        self.assertEqual(self.programmed("a"), ("False", "Pending"))
        self.assertEqual(self.condition("a")["observedGeneration"], 1)

    def test_under_steady_change(self) -> None:
        """An object waits for the table that it came with, and for no later one."""
        first = read("a", 31400)
        self.compile(1, *first)
        self.compile(2, *first, *read("b", 31401))
        self.writer.live(1)
        self.assertEqual((self.programmed("a")[0], self.programmed("b")[0]), ("True", "False"))

    def test_nothing_changes(self) -> None:
        """The same resources compiled again write no status: no revision, no event."""
        resources = [each for number in range(20) for each in read(f"gw-{number}", 31400 + number)]
        self.compile(1, *resources)
        self.writer.live(1)
        before, events = self.collection.revision, len(self.events)
        for generation in (2, 3):
            self.compile(generation, *resources)
            self.writer.live(generation)
        self.assertEqual((self.collection.revision, len(self.events)), (before, events))

    def test_an_overruled_object(self) -> None:
        """An object of the API that a file defines, too, says so; once the file is gone, it serves."""
        create = self.collection.create(GATEWAY, gateway("a", 9), WriteOptions())
        object_ = self.successResultOf(Deferred.fromCoroutine(create)).object
        origin = Origin("api", "api:a", uid=object_["metadata"]["uid"], generation=1, is_applied=True)
        own, file = read_document(object_, origin).resource, read("a", 31400)
        self.compile(1, own, *file)
        self.assertEqual(self.programmed("a"), ("False", "Overruled"))
        conflicted = self.condition("a", "Conflicted")
        self.assertEqual(conflicted["status"], "True")
        self.assertIn("a.yaml:1:1 defines the same resource", conflicted["message"])
        self.assertIn(("a", "Conflict"), self.events)
        self.compile(2, own, *file[1:])
        self.writer.live(2)
        self.assertEqual(self.condition("a", "Conflicted")["status"], "False")
        self.assertEqual(self.programmed("a")[0], "True")

    def test_the_file_is_shown_after_the_object(self) -> None:
        """Once the object of the API is deleted, the file's is shown with its status."""
        create = self.collection.create(GATEWAY, gateway("a", 9), WriteOptions())
        self.successResultOf(Deferred.fromCoroutine(create))
        self.compile(1, *read("a", 31400))
        self.writer.live(1)
        delete = self.collection.delete(GATEWAY, ("default", "a"), None, WriteOptions())
        self.successResultOf(Deferred.fromCoroutine(delete))
        self.writer.renew(ResourceKey("Gateway", "default", "a"))
        self.assertEqual(self.programmed("a"), ("True", "Programmed"))
