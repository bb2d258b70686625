"""Documents to resources."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.problem import Origin, Phase, Problem, Severity
from meshgate.resources.reader import Reading, read_document, read_text
from meshgate.resources.resource import ResourceKey
from meshgate.resources.yaml.document import parse_documents
from tests import examples

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: gw
spec:
  servers:
  - port:
      number: 443
      name: tls
      protocol: TLS
    hosts: ["*"]
    tls: {}
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: svc, namespace: apps}\nspec: {ports: [{port: 80}]}\n"

#: As kubectl get -A -o yaml prints it, cut to what matters.
KUBECTL = """\
apiVersion: v1
items:
- apiVersion: networking.istio.io/v1
  kind: Gateway
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"networking.istio.io/v1","kind":"Gateway"}
    creationTimestamp: "2024-05-01T10:00:00Z"
    generation: 1
    labels:
      app: edge
    managedFields:
    - apiVersion: networking.istio.io/v1
      fieldsType: FieldsV1
      fieldsV1:
        f:spec:
          .: {}
          f:servers: {}
      manager: kubectl
    name: gw
    namespace: istio-system
    resourceVersion: "17"
    uid: 1c0c0a9e-0000-0000-0000-000000000000
  spec:
    servers:
    - hosts:
      - '*'
      port:
        name: tcp
        number: 31400
        protocol: TCP
  status: {}
- apiVersion: v1
  kind: Service
  metadata:
    creationTimestamp: null
    name: kubernetes
    namespace: default
  spec:
    clusterIP: 10.96.0.1
    internalTrafficPolicy: Cluster
    ports:
    - name: https
      port: 443
      protocol: TCP
      targetPort: 6443
    sessionAffinity: None
    type: ClusterIP
  status:
    loadBalancer: {}
- addressType: IPv4
  apiVersion: discovery.k8s.io/v1
  endpoints:
  - addresses:
    - 172.18.0.2
    conditions:
      ready: true
  kind: EndpointSlice
  metadata:
    labels:
      kubernetes.io/service-name: kubernetes
    name: kubernetes
    namespace: default
  ports:
  - name: https
    port: 6443
    protocol: TCP
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata:
    name: web
    namespace: default
  spec: {replicas: 1, paused: no}
kind: List
metadata:
  resourceVersion: ""
"""


def said(reading: Reading) -> list[tuple[int, int, str, str]]:
    """Line, column, path and code of all problems."""
    return [(one.line, one.column, one.path, one.code) for one in reading.all_problems]


class ReadTextTests(SynchronousTestCase):
    """Texts of several documents."""

    def test_documents_become_resources(self) -> None:
        """Each resource has its origin, and the default namespace only if it names none."""
        reading = read_text(GATEWAY + "---\n# next\n" + SERVICE, "a.yaml", "files", "edge")
        self.assertEqual(reading.all_problems, ())
        self.assertTrue(reading.readable)
        gateway, service = reading.resources
        self.assertEqual(gateway.key, ResourceKey("Gateway", "edge", "gw"))
        self.assertEqual(service.key, ResourceKey("Service", "apps", "svc"))
        self.assertIsInstance(gateway.spec, GatewaySpec)
        self.assertEqual(replace(gateway.origin, positions=None), Origin("files", "a.yaml", 1, 1, 0))
        self.assertEqual(replace(service.origin, positions=None), Origin("files", "a.yaml", 15, 1, 1))
        self.assertEqual([one.key for one in reading.documents], [gateway.key, service.key])

    def test_every_api_version_of_istio_reads_the_same(self) -> None:
        """Three versions, one shape."""
        specs = {
            read_text(GATEWAY.replace("io/v1", f"io/{version}"), "a").resources[0].spec
            for version in ("v1", "v1beta1", "v1alpha3")
        }
        self.assertEqual(len(specs), 1)

    def test_what_kubectl_prints(self) -> None:
        """A list with everything that a cluster adds; each item at its own line; other kinds an information."""
        reading = read_text(KUBECTL, "all.yaml")
        self.assertEqual(
            [(str(one.key), one.origin.line, one.origin.document) for one in reading.resources],
            [
                ("Gateway istio-system/gw", 3, 0),
                ("Service default/kubernetes", 34, 1),
                ("EndpointSlice default/kubernetes", 52, 2),
            ],
        )
        gateway, service, endpoint_slice = reading.resources
        self.assertEqual((gateway.created, service.created), (datetime(2024, 5, 1, 10, tzinfo=UTC), None))
        self.assertEqual(gateway.labels, {"app": "edge"})
        self.assertEqual(endpoint_slice.labels, {"kubernetes.io/service-name": "kubernetes"})
        (problem,) = reading.all_problems
        self.assertEqual(
            str(problem),
            "all.yaml:69:3: info[MG0006]: ReplicaSet default/web: the kind apps/ReplicaSet is not read",
        )

    def test_json_reads_the_same(self) -> None:
        """JSON from kubectl get gives the same resources, except for their positions."""
        yaml = read_text(KUBECTL, "f")
        (document,) = [json.loads(json.dumps(one)) for one in _plain(KUBECTL)]
        for text in (json.dumps(document), json.dumps(document, indent=4).encode()):
            found = read_text(text, "f")
            self.assertEqual([one.spec for one in found.resources], [one.spec for one in yaml.resources])
            self.assertEqual([one.code for one in found.all_problems], [one.code for one in yaml.all_problems])

    def test_a_text_that_is_not_yaml(self) -> None:
        """The text gives one problem with its position, and nothing else."""
        reading = read_text(GATEWAY + "---\na: [\n", "a.yaml", "files")
        self.assertFalse(reading.readable)
        self.assertEqual((reading.documents, reading.resources), ((), ()))
        (problem,) = reading.problems
        self.assertEqual((problem.location(), problem.code), ("a.yaml:15:1", "MG0001"))
        self.assertEqual(
            (problem.severity, problem.phase, problem.provider), (Severity.ERROR, Phase.VALIDATION, "files")
        )

    def test_a_file_of_kustomize(self) -> None:
        """It is no resource, even where it does not say what it is; the info says how to check what it makes."""
        head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        for text, file in (("resources: [a.yaml]\n", "x/kustomization.yaml"), (head + "resources: []\n", "any.yaml")):
            (problem,) = read_text(text, file).all_problems
            self.assertEqual((problem.code, problem.severity), ("MG0006", Severity.INFO))
            self.assertIn("kubectl kustomize", problem.hint)
        self.assertEqual([each.code for each in read_text("resources: []\n", "y.yaml").all_problems], ["MG0003"])

    def test_a_template_is_named_as_one(self) -> None:
        """A chart's template is not blamed for its syntax; the problem says how to render it."""
        for text, location in (
            ("metadata:\n  name: {{ .Values.name }}\n", "t.yaml:2:9"),
            ("spec:\n{{- if .Values.tls }}\n  tls: {}\n{{- end }}\n", "t.yaml:2:1"),
            ('metadata:\n  name: {{ include "edge.fullname" . }}\n  labels:\n', "t.yaml:2:9"),
        ):
            (problem,) = read_text(text, "t.yaml").problems
            self.assertEqual((problem.location(), problem.message), (location, "the file is a template, not YAML"))
            self.assertIn("helm template", problem.hint)

    def test_a_template_within_yaml_is_not_blamed(self) -> None:
        """An action in a quoted text or far from the fault is no reason to call the file a template."""
        for text in ('a: "{{ .Values.x }}"\nb: [\n', "a: |\n  {{ .x }}\nb: 1\nc: 2\nd: [\n", "a: {{b: 1}: 2}\n"):
            (problem,) = read_text(text, "t.yaml").problems
            self.assertNotIn("template", problem.message)

    def test_all_problems_of_all_documents_at_once(self) -> None:
        """Problems come in the order of their positions; valid documents among them are delivered."""
        text = (
            GATEWAY.replace("number: 443", "number: 0x1ffff")
            .replace("protocol: TLS", "protocol: TSL")
            .replace("  name: gw", "  name: GW\n  labels: {a: 1}")
            + "---\n"
            + GATEWAY.replace("kind: Gateway", "kind: Gatway")
            + "---\n"
            + SERVICE
            + "---\n"
            + GATEWAY.replace("io/v1", "io/v7")
            + "---\n- a\n---\nkind: Service\n"
        )
        reading = read_text(text, "a.yaml")
        self.assertEqual([str(one.key) for one in reading.resources], ["Service apps/svc"])
        self.assertEqual(
            said(reading),
            [
                (4, 9, "metadata.name", "MG1006"),
                (5, 15, "metadata.labels.a", "MG1003"),
                (9, 15, "spec.servers[0].port.number", "MG1005"),
                (11, 17, "spec.servers[0].port.protocol", "MG1004"),
                (16, 7, "kind", "MG0005"),
                (33, 13, "apiVersion", "MG0004"),
                (46, 1, "", "MG0003"),
                (48, 1, "apiVersion", "MG0003"),
            ],
        )
        self.assertEqual(reading.documents[0].key, ResourceKey("Gateway", "default", "GW"))

    def test_unknown_fields(self) -> None:
        """As bad as one says, at their key, with the nearest name; alone they never keep a resource from serving."""
        text = GATEWAY.replace("    hosts:", "    host: x\n    hosts:") + "specs: {}\n"
        for severity in (Severity.ERROR, Severity.WARNING):
            reading = read_text(text, "a", unknown_fields=severity)
            self.assertEqual(len(reading.resources), 1)
            self.assertEqual(said(reading), [(11, 5, "spec.servers[0].host", "MG1001"), (14, 1, "specs", "MG1001")])
            self.assertEqual({one.severity for one in reading.all_problems}, {severity})
            hints = [one.hint for one in reading.all_problems]
            self.assertEqual(hints, ["did you mean hosts?", "did you mean spec?"])
        broken = read_text(text.replace("number: 443", "number: -1"), "a", unknown_fields=Severity.INFO)
        self.assertEqual((broken.resources, len(broken.all_problems)), ((), 3))

    def test_what_a_head_can_lack(self) -> None:
        """A name, which generateName is not; a kind; a text for either."""
        generated = GATEWAY.replace("  name: gw", "  generateName: gw-")
        (problem,) = read_text(generated, "a").all_problems
        self.assertEqual((problem.line, problem.path, problem.code), (4, "metadata.name", "MG1002"))
        self.assertIn("generateName", problem.hint)
        self.assertEqual(
            said(read_text("kind: 5\napiVersion: ''\n", "a")),
            [(1, 7, "kind", "MG1003"), (2, 13, "apiVersion", "MG0003")],
        )
        self.assertEqual(said(read_text("text\n", "a")), [(1, 1, "", "MG0003")])
        (problem,) = read_text("replicas: 2\nimage: {tag: v1}\n", "values.yaml").all_problems
        self.assertEqual((problem.path, problem.code, problem.severity), ("", "MG0003", Severity.INFO))
        headless = read_text("metadata: {name: gw}\nspec: {servers: []}\n", "a").all_problems
        self.assertEqual([each.severity for each in headless], [Severity.ERROR] * 2)
        for metadata in ("", "metadata: []\n", "metadata: x\n"):
            text = f"apiVersion: v1\nkind: Service\n{metadata}"
            self.assertEqual({one.severity for one in read_text(text, "a").all_problems}, {Severity.ERROR})

    def test_files_of_meshgate_itself(self) -> None:
        """Settings and expectations are no resources, and the hint names the command that takes them."""
        for text, command in (
            ("gateway: {}\nproviders: [{name: files, type: directory, paths: [routes]}]", "check --config etc/x.yaml"),
            ("expect: [{port: 1, no_listener: true}]", "test etc/x.yaml"),
        ):
            (problem,) = read_text(text, "etc/x.yaml").all_problems
            self.assertEqual((problem.code, problem.line), ("MG0003", 1))
            self.assertIn(f"'meshgate {command}'", problem.hint)
        lacking = read_text("kind: Gateway\nproviders: []", "x.yaml").all_problems
        self.assertEqual([problem.path for problem in lacking], ["apiVersion"])

    def test_ambiguous_words(self) -> None:
        """A warning at the word; none in what is not read, nor where the word is an error anyway."""
        text = GATEWAY.replace("name: tls", "name: on").replace("number: 443", "number: 0651")
        reading = read_text(text, "a")
        self.assertEqual(said(reading), [(8, 15, "", "MG0002"), (9, 13, "spec.servers[0].port.name", "MG1003")])
        self.assertEqual(reading.all_problems[0].subject(), "Gateway default/gw")
        self.assertEqual(said(read_text("apiVersion: v1\nkind: Node\nx: on\n", "a")), [(1, 1, "", "MG0006")])

    def test_a_fault_in_a_long_text_is_pointed_at(self) -> None:
        """The line and column in a text of a thousand lines, in the middle of documents that are right."""
        text = "---\n".join([GATEWAY] * 90)
        lines = text.splitlines(keepends=True)
        self.assertGreater(len(lines), 1000)
        at = 13 * 60 + 7
        self.assertEqual(lines[at], "      number: 443\n")
        lines[at] = "      number: forty\n"
        reading = read_text("".join(lines), "a")
        self.assertEqual(said(reading), [(at + 1, 15, "spec.servers[0].port.number", "MG1003")])
        self.assertEqual(len(reading.resources), 89)

    def test_what_is_read_crosses_to_another_process(self) -> None:
        """Resources and problems survive pickling."""
        reading = read_text(KUBECTL + "---\n" + GATEWAY + "---\nx\n", "a")
        self.assertEqual(pickle.loads(pickle.dumps(reading)), reading)  # noqa: S301
        self.assertEqual(len({hash(one.spec) for one in reading.resources}), 4)

    @settings(deadline=None, max_examples=examples(300))
    @given(st.data())
    def test_any_text_is_read(self, data: st.DataObject) -> None:
        """A text with parts cut out or put in gives resources or problems, and never an exception."""
        text = data.draw(st.sampled_from([GATEWAY, SERVICE, KUBECTL]))
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(text)))
            end = data.draw(st.integers(start, min(len(text), start + 12)))
            text = text[:start] + data.draw(st.text(max_size=6) | st.sampled_from(_SPLICES)) + text[end:]
        reading = read_text(text, "a.yaml")
        lines = text.count("\n") + text.count("\r") + 1
        for problem in reading.all_problems:
            self.assertIn(problem.code, CODES)
            self.assertTrue(1 <= problem.line <= lines, problem)
            self.assertTrue(problem.column >= 1, problem)
        for document in reading.documents:
            self.assertTrue(document.resource is not None or document.problems)


_SPLICES = ["null", "[]", "{}", "- ", "on", "010", "''", "*a", "&a ", "\n---\n", "!!str ", "<<: ", "List", "1.5", "\t"]


class ReadDocumentTests(SynchronousTestCase):
    """Plain mappings."""

    def test_a_mapping_becomes_a_resource(self) -> None:
        """As its text would, with the origin as given."""
        (document,) = _plain(GATEWAY)
        origin = Origin("inventory", "http://a", document=3)
        reading = read_document(document, origin, "edge")
        assert reading.resource is not None
        self.assertEqual((reading.problems, reading.resource.origin), ((), origin))
        self.assertEqual(reading.resource.key, ResourceKey("Gateway", "edge", "gw"))
        self.assertEqual(reading.resource.spec, read_text(GATEWAY, "a").resources[0].spec)

    def test_problems_have_the_origin_for_a_place(self) -> None:
        """A document without text has no lines."""
        (document,) = _plain(GATEWAY)
        document["spec"]["servers"][0]["port"]["number"] = True
        (problem,) = read_document(document, Origin("inventory")).problems
        self.assertEqual((problem.location(), problem.path), ("inventory", "spec.servers[0].port.number"))

    def test_a_list_is_refused(self) -> None:
        """A list would make several resources."""
        reading = read_document({"apiVersion": "v1", "kind": "List", "items": []}, Origin("p"))
        self.assertEqual([one.code for one in reading.problems], ["MG0003"])
        self.assertIsNone(reading.resource)

    @settings(deadline=None, max_examples=examples(200))
    @given(
        st.dictionaries(
            st.sampled_from(["apiVersion", "kind", "metadata", "spec", "status", "items", "ports", "endpoints"]),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats()
                | st.sampled_from(["v1", "Service", "Gateway", "networking.istio.io/v1", "List", "EndpointSlice"])
                | st.text(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(["name", "labels", "servers", "ports"]) | st.text(), inner, max_size=3
                    )
                ),
                max_leaves=15,
            ),
        )
    )
    def test_any_mapping_is_read(self, document: dict[str, Any]) -> None:
        """To a resource or to problems."""
        reading = read_document(document, Origin("p"))
        self.assertTrue(reading.resource is not None or reading.problems)
        self.assertTrue(all(isinstance(problem, Problem) for problem in reading.problems))


def _plain(text: str) -> list[Any]:
    """The plain values of a text."""
    return [document.value for document in parse_documents(text)]
