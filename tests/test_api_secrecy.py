"""What must stay secret stays out of everything that others may read: a real process with the API, and its log."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from meshgate.api.api_client import ApiClient
from tests.api.pods.workloads import deployment, echo_container, tls_container
from tests.support import TwistdProcess, free_port, new_folder, once_more, wait_for

SETTINGS = """\
workers: 1
api: {{port: {api}, pods: true, namespaces: [istioinaction]}}
metrics: {{port: {metrics}}}
"""

CANARY = "xCANARYx7f3aQx"
ENCODED = base64.b64encode(CANARY.encode()).decode()
TRACES = (CANARY, CANARY.upper(), ENCODED, ENCODED[:12])
"""What would betray the canary."""

SECRETS = "/api/v1/namespaces/istioinaction/secrets"
MERGE, JSON_PATCH, STRATEGIC, APPLY = (
    f"application/{each}"
    for each in ("merge-patch+json", "json-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)
VARIABLE = {"name": "CANARY", "valueFrom": {"secretKeyRef": {"name": "good", "key": "a"}}}


BAD_FIELDS: tuple[dict[str, Any], ...] = (
    {"data": {"a": CANARY + "!"}},
    {"data": {"a": [CANARY]}},
    {"data": CANARY},
    {"data": [ENCODED]},
    {"stringData": {"a": {"b": CANARY}}},
    {"stringData": CANARY},
    {"type": "kubernetes.io/tls", "data": {"tls.crt": ENCODED}},
    {"type": "kubernetes.io/tls", "stringData": {"tls.crt": CANARY, "tls.key": CANARY}},
    {"type": [CANARY]},
    {"immutable": CANARY},
    {"data": {"a": ENCODED}, "unknown": CANARY},
    {"metadata": {"name": "bad", "annotations": {"a": [CANARY]}}},
)
"""Fields of Secrets, most of them wrong."""


class Sent(NamedTuple):
    """A request that has the canary in it."""

    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"
    token: str = ""


def secret(name: str, **fields: Any) -> dict[str, Any]:
    """A Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **fields}


def requests() -> Iterator[Sent]:
    """Requests that are accepted and refused, with the canary wherever a Secret or a credential has its own."""
    good = secret("good", stringData={"a": CANARY}, data={"b": ENCODED})
    applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(good)}
    good["metadata"]["annotations"] = applied
    yield Sent("POST", SECRETS, good)
    yield Sent("POST", SECRETS, good)  # it is there already
    yield Sent(
        "POST", f"{SECRETS}?dryRun=All&fieldValidation=Strict", secret("dry", stringData={"a": CANARY}, x=CANARY)
    )
    for number, fields in enumerate(BAD_FIELDS):
        for query in ("", "?fieldValidation=Strict", "?fieldValidation=Warn"):
            yield Sent("POST", f"{SECRETS}{query}", secret(f"s{number}", **fields))
            yield Sent("PUT", f"{SECRETS}/good{query}", secret("good", **fields))
            yield Sent("PATCH", f"{SECRETS}/good{query}", fields, MERGE)
            yield Sent("PATCH", f"{SECRETS}/good{query}", fields, STRATEGIC)
            separator = "&" if query else "?"
            yield Sent("PATCH", f"{SECRETS}/good{query}{separator}fieldManager=a", secret("good", **fields), APPLY)
    for manager in ("a", "b"):
        body = secret("good", data={"a": base64.b64encode(f"{manager}{CANARY}".encode()).decode()})
        yield Sent("PATCH", f"{SECRETS}/good?fieldManager={manager}", body, APPLY)
    for operation in (
        {"op": "test", "path": "/data/a", "value": CANARY},
        {"op": "add", "path": "/data/a/b", "value": CANARY},
        {"op": "replace", "path": "/data/none", "value": ENCODED},
        {"op": "none", "path": "/data/a", "value": CANARY},
        {"op": "add", "path": "/data", "value": [CANARY]},
    ):
        yield Sent("PATCH", f"{SECRETS}/good", [operation], JSON_PATCH)
    for text in (f'{{"a": "{CANARY}"', f'{{"data": {CANARY}}}', f'["{CANARY}"]', f'"{CANARY}"', f"data: {CANARY}: b"):
        for content_type in ("application/json", "application/yaml", APPLY, MERGE, f"text/{CANARY}"):
            yield Sent("POST", SECRETS, text, content_type)
            yield Sent("PATCH", f"{SECRETS}/good", text, content_type)
    protobuf = b"k8s\x00" + bytes([10, len(CANARY)]) + CANARY.encode()
    yield Sent("POST", SECRETS, protobuf, "application/vnd.kubernetes.protobuf")
    for token in (CANARY, f"Bearer {CANARY}", f"Basic {ENCODED}", f"{CANARY} {CANARY}"):
        yield Sent("GET", SECRETS, token=token)
        yield Sent("POST", SECRETS, good, token=token)
    yield Sent("GET", f"/api/v1/pods?token={CANARY}&access_token={CANARY}")
    yield Sent("GET", f"{SECRETS}/good")
    yield Sent("GET", f"{SECRETS}?watch=true&timeoutSeconds=1")
    echo = {**echo_container(free_port()), "args": ["$(CANARY)"]}
    echo["env"] = [*echo["env"], VARIABLE]
    bad = {**echo, "env": [{**VARIABLE, "name": "TCP_PORT"}]}
    volume = {"name": "certs", "secret": {"secretName": "s7"}}
    for each in (
        deployment(echo, "echo"),
        deployment(bad, "bad"),
        deployment(tls_container(free_port()), "tls", volumes=[volume]),
    ):
        yield Sent("POST", "/apis/apps/v1/namespaces/istioinaction/deployments", each)


class SecrecyTests(TestCase):
    """Secrets, tokens, and the places where others read."""

    timeout = 120

    async def start(self) -> None:
        """Run a gateway with the API, pods and metrics."""
        self.folder = new_folder(self)
        self.ports = {"api": free_port(), "metrics": free_port()}
        settings = self.folder / "meshgate.yaml"
        settings.write_text(SETTINGS.format(**self.ports))
        self.process = TwistdProcess(self, ["meshgate", "--config", settings], self.folder)
        await self.process.wait_for_output("the worker serves")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.connection = http.client.HTTPSConnection("127.0.0.1", self.ports["api"], context=context, timeout=20)
        self.addCleanup(self.connection.close)
        self.client = ApiClient(self.folder / "state" / "kubeconfig")
        self.token = (self.folder / "state" / "api" / "admin.token").read_text().strip()

    def send(self, sent: Sent) -> tuple[int, str, bytes]:
        """Send a request; give the status, the headers and the body of the answer. Blocks."""
        body = sent.body if isinstance(sent.body, (str, bytes, type(None))) else json.dumps(sent.body)
        headers = {"Authorization": sent.token or f"Bearer {self.token}", "User-Agent": "kubectl/v1.37.1"}
        self.connection.request(sent.method, sent.path, body, {**headers, "Content-Type": sent.content_type})
        response = self.connection.getresponse()
        return response.status, str(response.headers), response.read()

    def read(self) -> dict[str, str]:
        """What others may read, by where it stands. Blocks."""
        metrics = http.client.HTTPConnection("127.0.0.1", self.ports["metrics"], timeout=20)
        metrics.request("GET", "/metrics")
        found = {
            "events": json.dumps(self.client.get("/api/v1/events")),
            "history": json.dumps(self.client.get("/history", limit="1000")),
            "metrics": metrics.getresponse().read().decode(),
            "pods": json.dumps(self.client.get("/api/v1/pods")),
        }
        metrics.close()
        for pod in self.client.get("/api/v1/pods")["items"]:
            path = f"/api/v1/namespaces/istioinaction/pods/{pod['metadata']['name']}/log"
            found[path] = self.send(Sent("GET", path))[2].decode()
        return found

    async def test_a_canary(self) -> None:
        """
        Nothing of a Secret or a token is in the log, in events, in warnings and other headers, in the answer of a
        refusal, in the history's list, in the metrics, in the status and the logs of pods, or in other files.
        """
        await once_more(self.start)
        statuses: dict[int, int] = {}
        for sent in requests():
            status, headers, body = await deferToThread(self.send, sent)
            statuses[status] = statuses.get(status, 0) + 1
            self.assertLess(status, 500, sent)
            told = headers if status < 400 else headers + body.decode()
            self.assertEqual([each for each in TRACES if each in told], [], (sent, told))
        self.assertGreater(statuses.get(201, 0), 5, statuses)
        self.assertTrue({200, 400, 401, 409, 415, 422} <= statuses.keys(), statuses)
        await wait_for(lambda: "bad-" in json.dumps(self.client.get("/api/v1/events")), "the events of the pods")
        found = {**await deferToThread(self.read), "log": self.process.stdout + self.process.stderr}
        self.assertIn("the API listens", found["log"])
        self.assertIn("TCP_PORT", found["events"])
        for path in (self.folder / "state").rglob("*"):
            if path.is_file() and "api.sqlite" not in path.name:
                found[str(path)] = path.read_bytes().decode("latin-1")
        for where, text in found.items():
            self.assertEqual([each for each in TRACES if each in text], [], where)
            self.assertTrue(self.token not in text or where.endswith((".token", "kubeconfig")), where)
