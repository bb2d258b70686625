"""Tests of :mod:`meshgate.api.answering`."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.answering import PAGE, Answering, Watch
from meshgate.api.refusal import RefusedError
from meshgate.api.requests import Answer, ApiRequest
from tests.api.api_objects import MemoryStore, collection_of, gateway, no_log, no_warnings, type_named

GATEWAYS = ("apis", "networking.istio.io", "v1", "namespaces", "default", "gateways")
ALL_GATEWAYS = ("apis", "networking.istio.io", "v1", "gateways")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


class AnsweringTestCase(SynchronousTestCase):
    """An API with an empty store."""

    def setUp(self) -> None:
        """The API; it is ready."""
        self.store = MemoryStore()
        self.collection = collection_of(self.store)
        self.ready = True
        self.answering = Answering(
            self.collection, lambda: self.ready, no_warnings, no_log, lambda: 1_800_000_000.0, random.Random(1)
        )

    def result(self, request: ApiRequest) -> Any:
        """The answer to a request, or its refusal."""
        results: list[Any] = []
        done = Deferred.fromCoroutine(self.answering.answer(request, "127.0.0.1:18443"))
        done.addErrback(lambda failure: failure.trap(RefusedError) and failure.value).addCallback(results.append)
        return results[0]

    def send(
        self,
        method: str,
        path: tuple[str, ...],
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Any:
        """Send a request; the query's names are those of the API."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.result(ApiRequest(method, path, query, headers or {}, content, "admin"))

    def create(self, *names: str) -> None:
        """Create some Gateways."""
        for name in names:
            self.assertEqual(self.send("POST", GATEWAYS, gateway(name)).code, 201)

    def names(self, answer: Answer) -> list[str]:
        """The names in a list."""
        return [each["metadata"]["name"] for each in answer.body["items"]]


class ListTests(AnsweringTestCase):
    """Lists and single objects."""

    def test_versions(self) -> None:
        """One object has the version that the client asks for, in lists too."""
        self.create("a")
        for version in ("v1", "v1beta1", "v1alpha3"):
            path = ("apis", "networking.istio.io", version, "namespaces", "default", "gateways")
            self.assertEqual(
                self.send("GET", (*path, "a")).body["apiVersion"], f"networking.istio.io/{version}", version
            )
            self.assertEqual(self.send("GET", path).body["items"][0]["apiVersion"], f"networking.istio.io/{version}")

    def test_pages(self) -> None:
        """Pages give each object once, and the revision of the first page."""
        self.create(*"abcde")
        found, token, revisions = [], "", set()
        for _ in range(3):
            answer = self.send("GET", GATEWAYS, limit="2", **_query("continue", token))
            found += self.names(answer)
            revisions.add(answer.body["metadata"]["resourceVersion"])
            token = answer.body["metadata"].get("continue", "")
        self.assertEqual((found, token, len(revisions)), (list("abcde"), "", 1))

    def test_a_token_that_is_none(self) -> None:
        """It is refused."""
        for token in ("x", "e30=", "W10=", "eyJyZXZpc2lvbiI6IjEiLCJhZnRlciI6MX0="):
            self.assertEqual(self.send("GET", GATEWAYS, **_query("continue", token)).code, 400, token)

    def test_selectors(self) -> None:
        """Labels and fields select."""
        self.send("POST", GATEWAYS, gateway("a", labels={"team": "x"}))
        self.create("b")
        self.assertEqual(self.names(self.send("GET", GATEWAYS, labelSelector="team=x")), ["a"])
        self.assertEqual(self.names(self.send("GET", ALL_GATEWAYS, fieldSelector="metadata.name=b")), ["b"])

    def test_a_table(self) -> None:
        """A client that asks for a table gets one, with Istio's columns."""
        service = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "a"},
            "spec": {"hosts": ["*"], "gateways": ["gw"], "tcp": [{"route": [{"destination": {"host": "a"}}]}]},
        }
        path = (*GATEWAYS[:-1], "virtualservices")
        self.assertEqual(self.send("POST", path, service).code, 201)
        table = self.send("GET", path, headers={"accept": TABLE}).body
        self.assertEqual([each["name"] for each in table["columnDefinitions"]], ["Name", "Gateways", "Hosts", "Age"])
        self.assertEqual(table["rows"][0]["cells"], ["a", '["gw"]', '["*"]', "0s"])

    def test_limits(self) -> None:
        """The number of objects in an answer is limited, whatever the client asks for."""
        self.assertEqual(self.send("GET", GATEWAYS, limit=str(PAGE * 100)).code, 200)
        self.assertEqual(self.send("GET", GATEWAYS, limit="many").code, 400)


class WriteTests(AnsweringTestCase):
    """Writes."""

    def test_patches(self) -> None:
        """Merge and JSON patches change an object; a strategic one is refused for Istio's kinds, and takes Services."""
        self.create("a")
        path = (*GATEWAYS, "a")
        merge = {"content-type": "application/merge-patch+json"}
        patched = self.send("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, merge)
        self.assertEqual(patched.body["metadata"]["labels"], {"a": "b"})
        operations = [{"op": "remove", "path": "/metadata/labels"}]
        patched = self.send("PATCH", path, operations, {"content-type": "application/json-patch+json"})
        self.assertNotIn("labels", patched.body["metadata"])
        strategic = {"content-type": "application/strategic-merge-patch+json"}
        self.assertEqual(self.send("PATCH", path, {}, strategic).code, 415)
        services = ("api", "v1", "namespaces", "default", "services")
        spec = {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
        self.send("POST", services, body)
        patched = self.send("PATCH", (*services, "s"), {"spec": {"ports": [{"port": 2, "name": "c"}]}}, strategic)
        self.assertEqual([port["name"] for port in patched.body["spec"]["ports"]], ["a", "c"])

    def test_wrong_bodies(self) -> None:
        """A body that is no object of the address is refused with a sentence."""
        bodies: list[Any] = [
            [],
            "a",
            1,
            {},
            {"metadata": []},
            {"kind": "Pod", "metadata": {"name": "a"}},
            gateway(namespace="x"),
        ]
        for body in bodies:
            answer = self.send("POST", GATEWAYS, body)
            self.assertEqual(answer.code, 400, body)
            self.assertTrue(answer.message)

    def test_a_name_in_the_body(self) -> None:
        """A name that is not that of the address is refused, and so is one that is no name."""
        self.create("a")
        self.assertEqual(self.send("PUT", (*GATEWAYS, "a"), gateway("b")).code, 400)
        self.assertEqual(self.send("POST", GATEWAYS, gateway("A_b")).code, 422)

    def test_deletes(self) -> None:
        """A delete answers with the uid of the object, and a collection is deleted by its selector."""
        self.create("a", "b")
        uid = self.send("GET", (*GATEWAYS, "a")).body["metadata"]["uid"]
        self.assertEqual(self.send("DELETE", (*GATEWAYS, "a")).body["details"]["uid"], uid)
        self.assertEqual(self.send("DELETE", GATEWAYS, fieldSelector="metadata.name=x").code, 200)
        self.assertEqual(self.names(self.send("GET", GATEWAYS)), ["b"])

    def test_readers(self) -> None:
        """A user who may only read is refused every write."""
        for method, path in (("POST", GATEWAYS), ("DELETE", GATEWAYS), ("PUT", (*GATEWAYS, "a"))):
            request = ApiRequest(method, path, body=b"{}", user="reader", writes=False)
            self.assertEqual(self.result(request).code, 403)


class WatchTests(AnsweringTestCase):
    """The beginning of watches."""

    def watch(self, **query: Any) -> Any:
        """The answer to a watch."""
        return self.send("GET", GATEWAYS, watch="1", **query)

    def test_from_a_list(self) -> None:
        """A watch from a list's revision begins with what has happened since."""
        self.create("a")
        revision = self.send("GET", GATEWAYS).body["metadata"]["resourceVersion"]
        self.create("b")
        self.send("DELETE", (*GATEWAYS, "a"))
        watch = self.watch(resourceVersion=revision)
        seen = [(event["type"], event["object"]["metadata"]["name"]) for event in events_of(watch)]
        self.assertEqual(seen, [("ADDED", "b"), ("DELETED", "a")])

    def test_from_nothing(self) -> None:
        """A watch without a revision begins with all objects."""
        self.create("a")
        self.assertEqual([event["type"] for event in events_of(self.watch())], ["ADDED"])

    def test_initial_events(self) -> None:
        """A client may ask for a bookmark behind them."""
        self.create("a")
        watch = self.watch(sendInitialEvents="true", resourceVersionMatch="NotOlderThan")
        first, last = events_of(watch)
        self.assertEqual((first["type"], last["type"]), ("ADDED", "BOOKMARK"))
        self.assertEqual(last["object"]["metadata"]["annotations"], {"k8s.io/initial-events-end": "true"})

    def test_a_revision_that_is_gone(self) -> None:
        """A revision before the start, and one that is not there yet, are refused with 410."""
        self.assertEqual(self.watch(resourceVersion="5").code, 410)
        self.assertEqual(self.watch(resourceVersion=str(self.collection.revision + 5)).code, 410)

    def test_a_table(self) -> None:
        """Events of a table have columns once."""
        self.create("a", "b")
        watch = self.send("GET", GATEWAYS, watch="1", headers={"accept": TABLE})
        self.assertEqual([bool(event["object"]["columnDefinitions"]) for event in events_of(watch)], [True, False])


class DiscoveryTests(AnsweringTestCase):
    """What clients ask first."""

    def test_plain_and_aggregated(self) -> None:
        """Both forms name the same types, with their short names."""
        plain = {each["name"] for each in self.send("GET", GATEWAYS[:3]).body["resources"]}
        aggregated = self.send("GET", ("apis",), headers={"accept": DISCOVERY})
        self.assertIn("as=APIGroupDiscoveryList", aggregated.headers["content-type"])
        group = next(each for each in aggregated.body["items"] if each["metadata"]["name"] == GATEWAYS[1])
        self.assertEqual({each["resource"] for each in group["versions"][0]["resources"]}, plain)
        short = {each["resource"]: each["shortNames"] for each in group["versions"][0]["resources"]}
        self.assertEqual(short["virtualservices"], ["vs"])

    def test_openapi(self) -> None:
        """Each document of the index is there, may be kept for ever under its hash, and describes its kinds."""
        for name, where in self.send("GET", ("openapi", "v3")).body["paths"].items():
            digest = where["serverRelativeURL"].partition("hash=")[2]
            answer = self.send("GET", ("openapi", "v3", *name.split("/")), hash=digest)
            self.assertEqual(answer.headers["cache-control"], "public, immutable")
            references = set(_references(answer.body))
            self.assertEqual(references - set(answer.body["components"]["schemas"]), set(), name)

    def test_health(self) -> None:
        """It is alive, and ready when the workers serve."""
        self.ready = False
        self.assertEqual(self.send("GET", ("livez",)).code, 200)
        self.assertEqual(self.send("GET", ("readyz",)).code, 503)
        self.ready = True
        self.assertEqual(self.send("GET", ("readyz",)).code, 200)

    def test_rights(self) -> None:
        """A user learns the own name and rights."""
        path = ("apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews")
        body = {"spec": {"resourceAttributes": {"verb": "create"}}}
        self.assertTrue(self.send("POST", path, body).body["status"]["allowed"])
        path = ("apis", "authentication.k8s.io", "v1", "selfsubjectreviews")
        self.assertEqual(self.send("POST", path, {}).body["status"]["userInfo"]["username"], "admin")


SEGMENTS = st.sampled_from(
    [
        "api",
        "apis",
        "v1",
        "v1alpha3",
        "networking.istio.io",
        "namespaces",
        "default",
        "gateways",
        "services",
        "a",
        "status",
        "openapi",
        "v2",
        "v3",
        "version",
        "livez",
        "selfsubjectreviews",
        "authentication.k8s.io",
        "secrets",
        "\x00",
        "é",
    ]
)
PARAMETERS = (
    "watch limit continue resourceVersion labelSelector fieldSelector dryRun timeoutSeconds fieldValidation "
    "sendInitialEvents includeObject hash"
)
QUERIES = st.dictionaries(
    st.sampled_from(PARAMETERS.split()),
    st.sampled_from(["1", "true", "All", "-1", "99999999999999999999", "a=b", "metadata.name=a", "Strict", chr(0xD800)])
    | st.text(max_size=8),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "kind", "apiVersion", "name", "labels", "servers", "port", "ports", "op", "path"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def _odd_gateway(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A Gateway with another value at one path."""
    body = copy.deepcopy(gateway())
    at: Any = body
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return body


PATHS = (
    ("apiVersion",),
    ("kind",),
    ("metadata",),
    ("metadata", "name"),
    ("metadata", "labels"),
    ("metadata", "annotations"),
    ("metadata", "finalizers"),
    ("metadata", "resourceVersion"),
    ("metadata", "creationTimestamp"),
    ("spec",),
    ("spec", "selector"),
    ("spec", "servers"),
    ("spec", "servers", 0),
    ("spec", "servers", 0, "port"),
    ("spec", "servers", 0, "hosts"),
    ("status",),
)
OBJECTS = st.builds(_odd_gateway, st.sampled_from(PATHS), JSON_VALUES)
BODIES = st.binary(max_size=30) | (OBJECTS | JSON_VALUES).map(lambda value: json.dumps(value).encode())


class AnyRequestTests(AnsweringTestCase):
    """Requests that nobody would make."""

    @settings(max_examples=500)
    @given(
        st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "X"]),
        st.lists(SEGMENTS, max_size=7).map(tuple)
        | st.sampled_from([GATEWAYS, (*GATEWAYS, "a"), ("api", "v1", "namespaces", "default", "services", "s")]),
        QUERIES,
        st.sampled_from(["application/json", "application/merge-patch+json", "application/json-patch+json"])
        | st.sampled_from(["application/strategic-merge-patch+json", "application/x", "", "\x00"]),
        BODIES,
    )
    @example("POST", GATEWAYS, {}, "application/json", b"[" * 100_000)
    @example("POST", GATEWAYS, {}, "application/json", b"1" * 10_000)
    @example("POST", GATEWAYS, {}, "application/json", b'{"metadata":{"name":"a"},"spec":NaN}')
    @example("PUT", (*GATEWAYS, "a"), {}, "application/json", json.dumps({"metadata": {"labels": 1}}).encode())
    @example("POST", GATEWAYS, {}, "application/json", b'{"metadata":{"name":"\\ud800"}}')
    def test_any_request(
        self, method: str, path: tuple[str, ...], query: dict[str, str], content_type: str, body: bytes
    ) -> None:
        """Whatever is asked is answered or refused, never with 500, and the answer can be sent."""
        if not self.collection.list(type_named("Gateway")):
            self.create("a")
        headers = {"content-type": content_type, "user-agent": "test"}
        result = self.result(ApiRequest(method, path, query, headers, body, "admin"))
        if isinstance(result, RefusedError):
            self.assertTrue(400 <= result.code < 500, result.message)
            json.dumps(result.as_json()).encode()
        elif isinstance(result, Watch):
            json.dumps(events_of(result)).encode()
        else:
            self.assertIn(result.code, (200, 201))
            result.content()


def events_of(watch: Watch) -> list[dict[str, Any]]:
    """The events that a watch has at once."""
    return list(iter(watch.next_event, None))


def _query(name: str, value: str) -> dict[str, Any]:
    """A parameter whose name is a word of Python; none where it is empty."""
    return {name: value} if value else {}


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix("#/components/schemas/")
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)
