"""Tests that the status of objects does not depend on the order in which they come."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.status_writer import StatusWriter
from meshgate.api.unstored_objects import ForeignResources
from meshgate.providers.compiling import CompilerState, compile_state
from meshgate.providers.feed import FeedState
from meshgate.resources.phases import at_once
from meshgate.resources.reader import read_text
from meshgate.resources.resource import Resource
from meshgate.routing.compile.gateway_proxy import Proxy
from tests.api.api_objects import MemoryStore, collection_of, type_named

PROXY = Proxy({"istio": "ingressgateway"}, "istio-system")
KINDS = ("Gateway", "VirtualService", "Service", "DestinationRule", "WorkloadEntry")

TCP = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec: {servers: [{port: {number: 31400, name: tcp, protocol: TCP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: ["*"]
  gateways: [a]
  tcp: [{route: [{destination: {host: a, subset: v1, port: {number: 7}}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: tcp, port: 7}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a}
spec: {address: 127.0.0.1, labels: {app: a, version: v1}}
"""
"""A route that needs every one of its objects."""

TLS = (
    TCP.replace("protocol: TCP", "protocol: TLS")
    .replace('hosts: ["*"]}', "hosts: [a.example.com], tls: {mode: PASSTHROUGH}}")
    .replace('hosts: ["*"]', "hosts: [a.example.com]")
    .replace("tcp: [{route", "tls: [{match: [{sniHosts: [a.example.com]}], route")
)

NEIGHBOUR = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: b}
spec: {servers: [{port: {number: 8443, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: PASSTHROUGH}}]}
"""
"""A Gateway that needs a VirtualService that never comes."""


class Cluster:
    """A collection whose objects come and go, and are compiled and served after each change."""

    def __init__(self) -> None:
        self.collection = collection_of(MemoryStore())
        self._foreign = ForeignResources(self.collection)
        self._writer = StatusWriter(self.collection, lambda *event: None, lambda: "2027-01-15T08:00:00Z")
        self._state = CompilerState()
        self._generation = 0

    def has(self, resources: Iterable[Resource[Any]]) -> None:
        """Have just these resources."""
        self._generation += 1
        state = FeedState(self._foreign.show(tuple(resources)))
        self._writer.compiled(at_once(compile_state(state, PROXY, self._generation, self._state)))
        self._writer.live(self._generation)

    def statuses(self) -> dict[tuple[str, str], Any]:
        """The status of each object without its generation."""
        return {
            (kind, each["metadata"]["name"]): plain(each.get("status"))
            for kind in KINDS
            for each in self.collection.list(type_named(kind))
        }


def plain(value: Any) -> Any:
    """A status without generations, which count changes."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key != "observedGeneration"}
    return [plain(each) for each in value] if isinstance(value, list) else value


class StatusOrderTests(SynchronousTestCase):
    """A route whose objects are applied one by one."""

    maxDiff = None

    def check(self, text: str) -> None:
        """Apply the objects in every order, and take each away and bring it back."""
        resources = read_text(text, "a.yaml", "files").resources
        neighbour = read_text(NEIGHBOUR, "b.yaml", "files").resources
        whole = Cluster()
        whole.has([*neighbour, *resources])
        wanted = whole.statuses()
        programmed = {key for key, status in wanted.items() if status and '"Programmed", "True"' in brief(status)}
        self.assertEqual(programmed, {(kind, "a") for kind in KINDS if wanted[kind, "a"] is not None})
        for order in permutations(resources):
            cluster = Cluster()
            for number in range(len(order) + 1):
                cluster.has([*neighbour, *order[:number]])
            self.assertEqual(cluster.statuses(), wanted, [each.kind for each in order])
        for missing in resources:
            whole.has([*neighbour, *(each for each in resources if each is not missing)])
            self.assertNotEqual(whole.statuses(), wanted, missing.kind)
            whole.has([*neighbour, *resources])
            self.assertEqual(whole.statuses(), wanted, missing.kind)

    def test_a_tcp_route(self) -> None:
        """A warning that was true until the rest of a TCP route came is gone, whatever came last."""
        self.check(TCP)

    def test_a_tls_route(self) -> None:
        """So it is with a route by server name."""
        self.check(TLS)


def brief(status: Any) -> str:
    """The conditions of a status as text."""
    return " ".join(f'"{each["type"]}", "{each["status"]}"' for each in status.get("conditions", ()))
