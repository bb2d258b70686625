"""Requests that nobody would make: each is answered or refused, and no object that is accepted breaks a list."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.answering import Answering, Watch
from meshgate.api.refusal import RefusedError
from meshgate.api.requests import Answer, ApiRequest
from meshgate.api.resource_types import TYPES, ResourceType
from tests.api.api_objects import MemoryStore, collection_of, no_log, no_warnings

CANARY = "canary-5c1f"
"""A text in the Secret; no refusal and no warning may have it, nor the same in base64."""
CANARY_BASE64 = "Y2FuYXJ5LTVjMWY="

CONTAINERS = [{"name": "c", "image": "i", "ports": [{"containerPort": 1}], "env": [{"name": "e", "value": "v"}]}]
REPLICAS = {
    "replicas": 2,
    "selector": {"matchLabels": {"a": "b"}},
    "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": CONTAINERS}},
}
CONTENTS: Mapping[str, Mapping[str, Any]] = {
    "Namespace": {"spec": {"finalizers": ["kubernetes"]}},
    "Event": {
        "involvedObject": {"kind": "Gateway", "name": "a", "namespace": "default"},
        "reason": "Why",
        "type": "Normal",
        "lastTimestamp": "2027-01-01T00:00:00Z",
        "count": 1,
    },
    "ConfigMap": {"data": {"a": "b"}, "binaryData": {"c": "ZA=="}, "immutable": False},
    "Secret": {"data": {"a": CANARY_BASE64}, "stringData": {"b": CANARY}, "type": "Opaque"},
    "Service": {"spec": {"selector": {"a": "b"}, "ports": [{"name": "p", "port": 80, "targetPort": "x"}]}},
    "Pod": {"spec": {"containers": CONTAINERS}},
    "Deployment": {"spec": REPLICAS},
    "ReplicaSet": {"spec": REPLICAS},
    "Gateway": {
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 31400, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}],
        }
    },
    "VirtualService": {
        "spec": {
            "hosts": ["*"],
            "gateways": ["a"],
            "tcp": [{"match": [{"port": 31400}], "route": [{"destination": {"host": "a", "port": {"number": 80}}}]}],
        }
    },
    "DestinationRule": {"spec": {"host": "a", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}},
    "ServiceEntry": {
        "spec": {
            "hosts": ["a.example.com"],
            "ports": [{"number": 80, "name": "tcp", "protocol": "TCP"}],
            "resolution": "STATIC",
            "endpoints": [{"address": "192.0.2.1"}],
        }
    },
    "WorkloadEntry": {"spec": {"address": "192.0.2.1", "labels": {"a": "b"}}},
    "EndpointSlice": {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"]}],
        "ports": [{"name": "p", "port": 80}],
    },
}
FIELDS = (
    *("metadata", "spec", "status", "kind", "apiVersion", "name", "namespace", "labels", "annotations", "finalizers"),
    *("ownerReferences", "managedFields", "generateName", "uid", "resourceVersion", "creationTimestamp", "data"),
    *("deletionTimestamp", "generation", "manager", "operation", "fieldsV1", "f:spec", 'k:{"a":1}', "k:x", "v:x", "."),
    *("$patch", "$retainKeys", "$setElementOrder/ports", "$deleteFromPrimitiveList/finalizers", "ports", "servers"),
    *("env", "containers", "replicas", "stringData", "template", "selector", "lastTimestamp", "involvedObject"),
    *("", "é", "\ud800", "\x00", "a/b"),
)
SCALARS = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 1 << 31, 1 << 63, 1 << 64, 10**300, 10**400, 1.5, -0.0, 1e308),
        *("", "a", "A b", "*", "é", "\ud800", "\x00", "\r\n", "x" * 300, "default", "80", "192.0.2.1", "::1", "Yg=="),
        *("replace", "delete", "merge", "2027-01-01T00:00:00Z", "2027-99-01", "Apply", "Update"),
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=6,
)
TYPE = st.sampled_from(TYPES)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
ACCEPTED = ("application/json", TABLE, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,*/*")
PATCHES = (
    *("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"),
    "application/apply-patch+yaml",
)
PARAMETERS = (
    "watch limit continue resourceVersion resourceVersionMatch labelSelector fieldSelector dryRun timeoutSeconds "
    "fieldValidation sendInitialEvents includeObject hash fieldManager force propagationPolicy gracePeriodSeconds "
    "revision tailLines"
)
QUERIES = st.dictionaries(
    st.sampled_from(PARAMETERS.split()),
    st.sampled_from(
        [
            *(
                "",
                "0",
                "1",
                "-1",
                "9" * 30,
                "true",
                "All",
                "Strict",
                "Warn",
                "Ignore",
                "Exact",
                "NotOlderThan",
                "Object",
            ),
            *("a=b", "a in (b,c)", "a notin (", "!a", ",", "a>1", "x" * 1_000, "metadata.name=a", "spec.nodeName=a"),
            *(
                "status.phase=Running",
                "involvedObject.name=a",
                "involvedObject.",
                "eyJyZXZpc2lvbiI6LTEsImFmdGVyIjpbXX0=",
            ),
            *("eyJyZXZpc2lvbiI6OTk5OTk5OTk5OTk5LCJhZnRlciI6WyJhIl19", "e30=", "kubectl", "é\n", "Foreground"),
        ]
    ),
    max_size=2,
)


def document(type_: ResourceType, name: str = "a") -> dict[str, Any]:
    """A valid object."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1"}
    metadata = {"name": name, "labels": {"a": "b"}, "annotations": {"a": "b"}, "ownerReferences": [owner]}
    head = {"apiVersion": type_.api_version(type_.versions[0]), "kind": type_.kind, "metadata": metadata}
    return {**head, **copy.deepcopy(dict(CONTENTS.get(type_.kind, {})))}


def address(type_: ResourceType, *rest: str) -> tuple[str, ...]:
    """The address of the objects of a type in the namespace ``default``, or of one of them."""
    root = ("apis", type_.group) if type_.group else ("api",)
    namespace = ("namespaces", "default") if type_.namespaced else ()
    return (*root, type_.versions[0], *namespace, type_.plural, *rest)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values within a value."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from paths(each, (*path, key))


@st.composite
def odd_documents(draw: st.DrawFn, type_: ResourceType) -> Any:
    """An object with other values in one place or two, or without them."""
    found = document(type_, draw(st.sampled_from("aab")))
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from([*paths(found)]))
        at: Any = found
        for key in path[:-1]:
            at = at[key]
        if draw(st.booleans()):
            at[path[-1]] = draw(VALUES)
        elif isinstance(at, dict):
            at[draw(st.sampled_from(FIELDS))] = draw(VALUES)
        else:
            del at[path[-1]]
    return found


@st.composite
def json_patches(draw: st.DrawFn, type_: ResourceType) -> Any:
    """A JSON patch."""
    pointers = ["/".join(("", *map(str, path))) for path in paths(document(type_))]
    odd = [
        "",
        "/",
        "x",
        "/-",
        1,
        None,
        [],
        "/spec/1e0",
        "/metadata/finalizers/-",
        "/a" * 500,
        "/metadata/managedFields",
    ]
    operation = st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "none", 1])},
        optional={key: st.sampled_from([*pointers, *odd]) for key in ("path", "from")} | {"value": VALUES},
    )
    return draw(st.lists(operation, max_size=3) | VALUES)


@st.composite
def requests(draw: st.DrawFn) -> ApiRequest:
    """A request."""
    type_ = draw(TYPE)
    method = draw(
        st.sampled_from(["POST", "PUT", "PATCH", "PATCH", "PATCH", "GET", "DELETE", "HEAD", "OPTIONS", "TRACE"])
    )
    rest = () if method == "POST" else (draw(st.sampled_from(["a", "a", "a", "b", "c/d", "é", "\x00", ".."])),)
    if draw(st.integers(0, 9)) == 0:
        rest = (*rest, draw(st.sampled_from(["status", "scale", "log", "x", ""])))
    content_type = draw(st.sampled_from(PATCHES if method == "PATCH" else ("application/json", "application/yaml")))
    if content_type == "application/json-patch+json":
        body = json.dumps(draw(json_patches(type_))).encode()
    else:
        body = json.dumps(draw(odd_documents(type_) | VALUES)).encode()
    if draw(st.integers(0, 9)) == 0:
        body = draw(st.binary(max_size=30))
        content_type = draw(st.sampled_from([content_type, "application/vnd.kubernetes.protobuf", "", "\x00"]))
        body = b"k8s\x00" + body if draw(st.booleans()) else body
    query = draw(QUERIES)
    if "apply" in content_type:
        query = {"fieldManager": draw(st.sampled_from(["one", "two"])), "force": "1", **query}
    headers = {"content-type": content_type, "accept": draw(st.sampled_from(ACCEPTED)), "user-agent": "test"}
    return ApiRequest(method, address(type_, *rest), query, headers, body, "admin", draw(st.integers(0, 9)) > 0)


SEGMENTS = (
    "api apis v1 v1alpha3 networking.istio.io namespaces default gateways services secrets a status scale openapi v2 "
    "v3 version history livez readyz selfsubjectreviews selfsubjectaccessreviews authentication.k8s.io é"
)
ANY_PATH = st.lists(
    st.sampled_from(SEGMENTS.split()),
    max_size=7,
).map(tuple)


class AnyRequestTests(SynchronousTestCase):
    """Each example has an API with one object of each type."""

    def setUp(self) -> None:
        """The API."""
        collection = collection_of(MemoryStore())
        clock = 1_800_000_000.0
        self.answering = Answering(collection, lambda: True, no_warnings, no_log, lambda: clock, random.Random(1))
        for type_ in TYPES:
            if type_.instead:
                continue
            request = ApiRequest("POST", address(type_), body=json.dumps(document(type_)).encode(), user="admin")
            self.assertEqual(self.result(request).code, 201, type_.kind)

    def result(self, request: ApiRequest) -> Any:
        """The answer to a request, or its refusal."""
        results: list[Any] = []
        done = Deferred.fromCoroutine(self.answering.answer(request, "127.0.0.1:18443"))
        done.addErrback(lambda failure: failure.trap(RefusedError) and failure.value).addCallback(results.append)
        return results[0]

    def check(self, request: ApiRequest) -> None:
        """Send a request, whose answer or refusal must be one that every client can read."""
        result = self.result(request)
        if isinstance(result, RefusedError):
            self.assertTrue(400 <= result.code < 500 or result.code == 504, result.message)
            self.readable(json.dumps(result.as_json()).encode())
            self.assertLess(len(result.message), 50_000)
            self.no_secret(json.dumps(result.as_json()))
        elif isinstance(result, Watch):
            self.readable(json.dumps(list(iter(result.next_event, None))).encode())
        else:
            assert isinstance(result, Answer)
            self.assertIn(result.code, (200, 201))
            if result.content()[:1] in (b"{", b"["):
                self.readable(result.content())
            self.no_secret("".join(result.warnings))
            "".join(result.warnings).encode()

    def no_secret(self, text: str) -> None:
        """Check that a text has nothing of the Secret."""
        self.assertNotIn(CANARY, text)
        self.assertNotIn(CANARY_BASE64, text)

    def readable(self, text: bytes) -> None:
        """Check that a text is JSON for programs of any language."""

        def number(digits: str) -> int:
            value = int(digits)
            self.assertTrue(-(1 << 63) <= value < 1 << 63, digits)
            return value

        json.loads(text, parse_constant=_refuse, parse_int=number)
        self.assertNotIn(b"\\ud800", text)

    def check_lists(self) -> None:
        """List and watch everything in each form."""
        for type_ in TYPES:
            for accepted in ACCEPTED:
                for query in ({}, {"watch": "1"}):
                    request = ApiRequest("GET", address(type_), query, {"accept": accepted}, user="admin")
                    self.assertNotIsInstance(self.result(request), RefusedError)
                    self.check(request)

    @settings(max_examples=150)
    @given(st.lists(requests(), min_size=1, max_size=8))
    def test_objects_and_patches(self, sent: list[ApiRequest]) -> None:
        """Whatever clients make of objects, each request is answered, and lists stay readable."""
        self.setUp()
        for request in sent:
            self.check(request)
        self.check_lists()

    @settings(max_examples=200)
    @given(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "X"]), ANY_PATH, QUERIES, VALUES.map(json.dumps))
    @example("POST", address(TYPES[0]), {}, "[" * 100_000)
    @example("POST", address(TYPES[0]), {}, "1" * 10_000)
    @example("POST", address(TYPES[0]), {}, '{"metadata":{"name":"a"},"spec":NaN}')
    @example("POST", address(TYPES[0]), {}, '{"metadata":{"name":"a"},"spec":{"a":1e999}}')
    @example("POST", address(TYPES[0]), {}, '{"a":' * 500 + "1" + "}" * 500)
    @example("POST", address(TYPES[0]), {}, '{"metadata":{"name":"\\ud800"}}')
    def test_addresses(self, method: str, path: tuple[str, ...], query: dict[str, str], body: str) -> None:
        """Whatever the address is, the request is answered or refused."""
        headers = {"content-type": "application/json", "user-agent": "test"}
        self.check(ApiRequest(method, path, query, headers, body.encode(), "admin"))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
