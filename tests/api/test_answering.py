"""Tests of :mod:`meshgate.api.answering`."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.answering import PAGE, Answering, LogFollowing, Watch
from meshgate.api.pod_log import PodLog
from meshgate.api.refusal import RefusedError
from meshgate.api.requests import Answer, ApiRequest
from meshgate.api.resource_types import TYPES, ResourceType
from tests.api.api_objects import MemoryStore, collection_of, gateway, no_log, no_warnings, type_named

GATEWAYS = ("apis", "networking.istio.io", "v1", "namespaces", "default", "gateways")
ALL_GATEWAYS = ("apis", "networking.istio.io", "v1", "gateways")
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap"}
CONFIG_MAPS = ("api", "v1", "namespaces", "default", "configmaps")
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

    def test_metadata_alone(self) -> None:
        """A client may ask for nothing but metadata: of an object, a list, and a watch."""
        self.create("a")
        accepted = {"accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"}
        found = self.send("GET", (*GATEWAYS, "a"), headers=accepted).body
        self.assertEqual((found["kind"], found["apiVersion"]), ("PartialObjectMetadata", "meta.k8s.io/v1"))
        self.assertEqual(set(found), {"kind", "apiVersion", "metadata"})
        watch = self.send("GET", GATEWAYS, headers=accepted, watch="1", sendInitialEvents="1")
        self.assertEqual([event["object"]["kind"] for event in events_of(watch)], ["PartialObjectMetadata"] * 2)
        accepted = {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        found = self.send("GET", GATEWAYS, headers=accepted).body
        self.assertEqual((found["kind"], len(found["items"])), ("PartialObjectMetadataList", 1))
        self.assertNotIn("spec", found["items"][0])

    def test_revisions(self) -> None:
        """A list is of now: a revision that is not there yet, or of which there have been changes, is refused."""
        self.create("a")
        revision = self.send("GET", GATEWAYS).body["metadata"]["resourceVersion"]
        for match in ("", "Exact", "NotOlderThan"):
            query = _query("resourceVersionMatch", match)
            self.assertEqual(self.send("GET", GATEWAYS, resourceVersion=revision, **query).code, 200, match)
        late = self.send("GET", GATEWAYS, resourceVersion=str(int(revision) + 1_000))
        self.assertEqual((late.code, late.as_json()["reason"]), (504, "Timeout"))
        self.assertEqual(late.causes[0].reason, "ResourceVersionTooLarge")
        self.create("b")
        self.assertEqual(self.send("GET", GATEWAYS, resourceVersion=revision, resourceVersionMatch="Exact").code, 410)
        self.assertEqual(self.send("GET", GATEWAYS, resourceVersion=revision).code, 200)
        self.assertEqual(self.send("GET", GATEWAYS, resourceVersion="x").code, 400)
        self.assertEqual(self.send("GET", GATEWAYS, resourceVersion="1", resourceVersionMatch="x").code, 400)
        self.assertEqual(self.send("GET", GATEWAYS, resourceVersionMatch="Exact").code, 400)


class WriteTests(AnsweringTestCase):
    """Writes."""

    def test_warnings_in_headers(self) -> None:
        """Each is one line that a client can read; long ones are cut, and too many are counted."""
        answer = Answer({}, warnings=('a "b" \\ c\r\nd', "x" * 5_000, *(("y" * 900,) * 20)))
        first, second, *_, last = answer.warning_headers()
        self.assertEqual(first, r'299 - "a \"b\" \\ c  d"')
        self.assertEqual(len(second), 1_000 + len('299 - ""'))
        self.assertRegex(last, r"^299 - \"\d+ further warnings are left out\"$")
        self.assertLess(sum(map(len, answer.warning_headers())), 9_000)

    def test_a_write_without_a_change_is_warned(self) -> None:
        """Who applies once more is told what is still wrong; a dry run, of which nothing was analyzed, is not."""

        async def analyzed(type_: ResourceType, key: tuple[str, str]) -> tuple[str, ...]:
            return (f"{key[1]} is wrong",)

        self.answering = Answering(
            self.collection, lambda: True, analyzed, no_log, lambda: 1_800_000_000.0, random.Random(1)
        )
        apply = {"content-type": "application/apply-patch+yaml"}
        path, warned = (*GATEWAYS, "a"), ("a is wrong",)
        first = self.send("PATCH", path, gateway("a"), apply, fieldManager="m")
        again = self.send("PATCH", path, gateway("a"), apply, fieldManager="m")
        self.assertEqual(first.body["metadata"]["resourceVersion"], again.body["metadata"]["resourceVersion"])
        self.assertEqual((first.warnings, again.warnings), (warned, warned))
        self.assertEqual(self.send("PATCH", path, gateway("a"), apply, fieldManager="m", dryRun="All").warnings, ())

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

    def test_bodies_in_yaml(self) -> None:
        """A body may be YAML, within the limits of aliases."""
        body = b"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec: {servers: []}\n"
        yaml = {"content-type": "application/yaml"}
        self.assertEqual(self.result(ApiRequest("POST", GATEWAYS, {"dryRun": "All"}, yaml, body)).code, 422)
        body = body.replace(b"servers: []", b"servers: [{port: {number: 1, name: tcp, protocol: TCP}, hosts: ['*']}]")
        self.assertEqual(self.result(ApiRequest("POST", GATEWAYS, {}, yaml, body)).code, 201)
        bomb = b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (name + 1, name + 1, b", ".join([b"*%c" % name] * 10)) for name in range(97, 107)
        )
        for text in (bomb, b"a: &a [*a]", b"[" * 10_000, b"a: b\n---\na: b\n", b"a: [", b"\xff", b"a: .nan"):
            refused = self.result(ApiRequest("POST", GATEWAYS, {}, yaml, text))
            self.assertEqual(refused.code, 400, text[:20])

    def test_duplicate_fields(self) -> None:
        """A field that the body has twice is a warning, or an error, as the client wants it."""
        body = json.dumps(gateway()).replace('"metadata"', '"kind": "Gateway", "metadata"').encode()
        for wanted, code, warnings in (
            ("Strict", 400, None),
            ("Warn", 201, ('duplicate field "kind"',)),
            ("", 201, ('duplicate field "kind"',)),
            ("Ignore", 201, ()),
        ):
            query = {"dryRun": "All", "fieldValidation": wanted}
            answer = self.result(ApiRequest("POST", GATEWAYS, query, {}, body))
            self.assertEqual(answer.code, code, wanted)
            if warnings is not None:
                self.assertEqual(answer.warnings, warnings)

    def test_metadata(self) -> None:
        """Metadata that clients could not read is refused with its path, for each kind."""
        for type_, path in ((gateway(), GATEWAYS), (CONFIG_MAP, CONFIG_MAPS)):
            for metadata, field in (
                ({"labels": {"a": 1}}, "metadata.labels.a"),
                ({"labels": {"a b": "c"}}, "metadata.labels"),
                ({"annotations": {"a": []}}, "metadata.annotations.a"),
                ({"annotations": {"a": "x" * 300_000}}, "metadata.annotations"),
                ({"finalizers": "a"}, "metadata.finalizers"),
                ({"finalizers": [1]}, "metadata.finalizers"),
                ({"ownerReferences": [{"name": "a"}]}, "metadata.ownerReferences[0].apiVersion"),
                ({"ownerReferences": 1}, "metadata.ownerReferences"),
            ):
                refused = self.send("POST", path, {**type_, "metadata": {"name": "a", **metadata}})
                self.assertEqual(refused.code, 422, metadata)
                self.assertIn(field, refused.message)

    def test_names(self) -> None:
        """Names follow Kubernetes' rules for their type."""
        subdomains = {
            "a.b": 201,
            "a..b": 422,
            "a.-b": 422,
            "a-": 422,
            "x" * 253: 201,
            "x" * 254: 422,
            "é": 422,
            "1": 201,
        }
        for kind, plural, names in (
            ("ConfigMap", "configmaps", subdomains),
            ("Service", "services", {"1a": 422, "a.b": 422, "a1": 201}),
            ("Namespace", "namespaces", {"a.b": 422, "x" * 63: 201, "x" * 64: 422, "1": 201}),
        ):
            path = ("api", "v1", plural) if kind == "Namespace" else (*CONFIG_MAPS[:-1], plural)
            spec = {"spec": {"ports": [{"port": 1}]}} if kind == "Service" else {}
            for name, code in names.items():
                body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **spec}
                self.assertEqual(self.send("POST", path, body, dryRun="All").code, code, name)

    def test_string_data(self) -> None:
        """The texts of a Secret become data, as in Kubernetes."""
        path = ("api", "v1", "namespaces", "default", "secrets")
        body = {"metadata": {"name": "s"}, "data": {"a": "YQ==", "b": "YQ=="}, "stringData": {"b": "é"}}
        answer = self.send("POST", path, {"apiVersion": "v1", "kind": "Secret", **body})
        self.assertEqual(answer.body["data"], {"a": "YQ==", "b": "w6k="})
        self.assertNotIn("stringData", answer.body)

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

    def test_deleted_objects(self) -> None:
        """A delete is answered with a Status, and that of a Service with the Service, as typed clients expect."""
        for kind, plural, spec, answered in (
            ("ConfigMap", "configmaps", {}, "Status"),
            ("Service", "services", {"spec": {"ports": [{"port": 1}]}}, "Service"),
        ):
            path = (*CONFIG_MAPS[:-1], plural)
            body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, **spec}
            self.assertEqual(self.send("POST", path, body).code, 201)
            self.assertEqual(self.send("DELETE", (*path, "a")).body["kind"], answered)

    def test_options_of_deletes(self) -> None:
        """They are checked, and a dry run and preconditions keep the object."""
        self.create("a")
        path = (*GATEWAYS, "a")
        odd: tuple[Any, ...] = (
            [],
            {"kind": "Gateway"},
            {"propagationPolicy": "x"},
            {"gracePeriodSeconds": -1},
            {"gracePeriodSeconds": "x"},
            {"dryRun": ["x"]},
            {"preconditions": []},
            {"preconditions": {"uid": 1}},
        )
        body: Any
        for body in odd:
            self.assertEqual(self.send("DELETE", path, body).code, 400, body)
        for body in ({"preconditions": {"uid": "x"}}, {"preconditions": {"resourceVersion": "1"}}):
            self.assertEqual(self.send("DELETE", path, body).code, 409, body)
        options = field(5, b"All") + field(2, field(1, b"other"))
        binary = b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"DeleteOptions")) + field(2, options)
        protobuf = {"content-type": "application/vnd.kubernetes.protobuf"}
        self.assertEqual(self.result(ApiRequest("DELETE", path, {}, protobuf, binary)).code, 409)
        self.assertEqual(self.send("DELETE", path, {"dryRun": ["All"]}).code, 200)
        self.assertEqual(self.names(self.send("GET", GATEWAYS)), ["a"])
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground", "gracePeriodSeconds": 0}
        self.assertEqual(self.send("DELETE", path, body).code, 200)
        self.assertEqual(self.names(self.send("GET", GATEWAYS)), [])

    def test_a_namespace_with_content(self) -> None:
        """Its objects go with it; one with a finalizer holds it, and takes it along in the end."""
        namespaces, path = ("api", "v1", "namespaces"), (*GATEWAYS[:4], "full", "gateways")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "full"}}
        for finalizers, phase in (([], None), (["example.com/hold"], "Terminating")):
            self.assertEqual(self.send("POST", namespaces, namespace).code, 201)
            for name, held in (("a", []), ("b", finalizers)):
                self.assertEqual(self.send("POST", path, gateway(name, namespace="full", finalizers=held)).code, 201)
            kept = self.send("DELETE", (*namespaces, "full"), {"dryRun": ["All"]})
            self.assertEqual((kept.code, len(self.names(self.send("GET", path)))), (200, 2))
            self.assertEqual(self.send("DELETE", (*namespaces, "full")).code, 200)
            found = self.send("GET", (*namespaces, "full"))
            self.assertEqual(found.body["status"]["phase"] if found.code == 200 else None, phase)
        self.assertEqual(self.names(self.send("GET", path)), ["b"])
        self.assertEqual(self.send("POST", path, gateway("c", namespace="full")).code, 403)
        merge = {"content-type": "application/merge-patch+json"}
        self.assertEqual(self.send("PATCH", (*path, "b"), {"metadata": {"finalizers": None}}, merge).code, 200)
        self.assertEqual(self.send("GET", (*namespaces, "full")).code, 404)
        self.assertEqual(self.send("DELETE", (*namespaces, "default")).code, 403)
        self.collection.put_foreign(type_named("Gateway"), gateway(namespace="istioinaction"), "routes/a.yaml:1:1")
        refused = self.send("DELETE", (*namespaces, "istioinaction"))
        self.assertEqual(refused.code, 409)
        self.assertIn("routes/a.yaml:1:1", refused.message)

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

    def test_described_answers(self) -> None:
        """Only operations on one object say that they answer with one: a delete answers with a Status."""
        paths = self.send("GET", ("openapi", "v3", *GATEWAYS[:3])).body["paths"]
        collection = paths["/" + "/".join((*GATEWAYS[:4], "{namespace}", "gateways"))]
        single = paths["/" + "/".join((*GATEWAYS[:4], "{namespace}", "gateways", "{name}"))]
        for operation, described in (
            *((collection[method], method == "post") for method in ("get", "post", "delete")),
            *((single[method], method != "delete") for method in ("get", "put", "patch", "delete")),
        ):
            (answer,) = operation["responses"].values()
            self.assertEqual(
                "$ref" in answer["content"]["application/json"]["schema"], described, operation["operationId"]
            )

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
        answer = self.send("POST", path, body).body
        self.assertTrue(answer["status"]["allowed"])
        self.assertEqual(answer["spec"], body["spec"])
        path = ("apis", "authentication.k8s.io", "v1", "selfsubjectreviews")
        self.assertEqual(self.send("POST", path, {}).body["status"]["userInfo"]["username"], "admin")


def events_of(watch: Watch) -> list[dict[str, Any]]:
    """The events that a watch has at once."""
    return list(iter(watch.next_event, None))


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf."""
    return bytes([number << 3 | 2, len(content)]) + content


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


class OtherTypeTests(AnsweringTestCase):
    """Types without objects, and subresources that need more than this gateway has."""

    def test_types_without_objects(self) -> None:
        """They are empty, and a write says what to do instead."""
        for type_ in TYPES:
            if not type_.instead:
                continue
            root = ("apis", type_.group) if type_.group else ("api",)
            for version in type_.versions:
                path = (*root, version, *(("namespaces", "default") if type_.namespaced else ()), type_.plural)
                self.assertEqual(self.send("GET", path).body["items"], [], type_.qualified_name)
                refusal = self.send("POST", path, {"metadata": {"name": "a"}})
                self.assertEqual(refusal.code, 405)
                self.assertEqual(refusal.message, f"{type_.qualified_name} cannot be written: {type_.instead}")
                self.assertEqual(self.send("PATCH", (*path, "a"), {}).code, 405)

    def test_subresources(self) -> None:
        """Each says why there is none, and a Pod's address where that helps."""
        pods = ("api", "v1", "namespaces", "default", "pods")
        container = {"name": "c", "image": "x", "ports": [{"containerPort": 7}]}
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
        self.assertEqual(self.send("POST", pods, pod).code, 201)
        for name, words in (
            ("exec", "without a shell"),
            ("attach", "without a shell"),
            ("portforward", "once it runs"),
            ("eviction", "delete the pod"),
        ):
            refusal = self.send("POST", (*pods, "p", name), {})
            self.assertEqual(refusal.code, 405)
            self.assertIn(words, refusal.message)
        self.collection.set_status(type_named("Pod"), ("default", "p"), lambda _: {"podIP": "127.64.0.1"})
        self.assertIn("connect to 127.64.0.1:7", self.send("POST", (*pods, "p", "portforward")).message)
        self.assertEqual(self.send("POST", (*pods, "none", "exec"), {}).code, 404)
        self.create("a")
        self.assertIn("have no replicas to scale", self.send("GET", (*GATEWAYS, "a", "scale")).message)

    def test_the_reader(self) -> None:
        """Whoever may only read gets no Secret, in whatever form, and is told of the rights."""
        secrets = ("api", "v1", "namespaces", "default", "secrets")
        self.send("POST", secrets, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
        reviews = ("apis", "authorization.k8s.io", "v1")
        for writes, code in ((True, 200), (False, 403)):
            for path, query in ((secrets, {}), ((*secrets, "s"), {}), (secrets, {"watch": "1"})):
                answer = self.result(ApiRequest("GET", path, query, {"accept": TABLE}, writes=writes))
                self.assertEqual(getattr(answer, "code", 200), code)
            for verb, group, plural, allowed in (
                ("get", "", "secrets", writes),
                ("list", "", "services", True),
                ("get", "*", "*", writes),
                ("create", "", "services", writes),
            ):
                attributes = {"verb": verb, "group": group, "resource": plural}
                body = json.dumps({"spec": {"resourceAttributes": attributes}}).encode()
                review = (*reviews, "selfsubjectaccessreviews")
                answer = self.result(ApiRequest("POST", review, body=body, writes=writes))
                self.assertIs(answer.body["status"]["allowed"], allowed, str(attributes))
            answer = self.result(ApiRequest("POST", (*reviews, "selfsubjectrulesreviews"), body=b"{}", writes=writes))
            rules = answer.body["status"]["resourceRules"]
            self.assertIs(any("secrets" in rule["resources"] for rule in rules), False)
            self.assertEqual(rules[0]["verbs"], ["*"] if writes else ["get", "list", "watch"])

    def test_fields(self) -> None:
        """Lists can be selected by the fields of their type, and by no others."""
        services = ("api", "v1", "namespaces", "default", "services")
        port = {"port": 7}
        for name, form in (("a", "ClusterIP"), ("b", "NodePort")):
            self.send("POST", services, {"metadata": {"name": name}, "spec": {"type": form, "ports": [port]}})
        self.assertEqual(self.names(self.send("GET", services, fieldSelector="spec.type=NodePort")), ["b"])
        self.assertEqual(self.names(self.send("GET", services, fieldSelector="spec.type!=NodePort")), ["a"])
        refusal = self.send("GET", GATEWAYS, fieldSelector="spec.type=NodePort")
        self.assertEqual(
            (refusal.code, refusal.message),
            (400, "field label not supported: spec.type; select by metadata.name or metadata.namespace"),
        )

    def test_logs(self) -> None:
        """The log of a Pod comes as text; a container that it does not have, and a log that is missing, are refused."""
        pods = ("api", "v1", "namespaces", "default", "pods")
        self.send("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
        path = (*pods, "p", "log")
        self.assertEqual(self.send("GET", path).body, b"")
        log = PodLog("c")
        log.write("2027-01-15T08:00:00Z", "hello")
        self.patch(self.answering, "_log_of", lambda namespace, name: log)
        self.assertEqual(self.send("GET", path, container="c", timestamps="1").body, b"2027-01-15T08:00:00Z hello\n")
        self.assertIn("container d is not valid for pod p: it has c", self.send("GET", path, container="d").message)
        self.assertIn('previous terminated container "c"', self.send("GET", path, previous="true").message)
        self.assertIsInstance(self.send("GET", path, follow="true"), LogFollowing)
        log.restart()
        self.assertEqual(self.send("GET", path, previous="true", follow="true").body, b"hello\n")
