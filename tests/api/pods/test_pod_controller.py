"""Tests of :mod:`meshgate.api.pods.pod_controller`: real services on loopback addresses."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from meshgate.api.collection import WriteOptions
from meshgate.api.deletion import delete
from meshgate.api.object_events import EventRecorder
from meshgate.api.pods.endpoint_slices import is_ready
from meshgate.api.pods.images import find_images, image_name
from meshgate.api.pods.pod_controller import DEPLOYMENTS, PODS, REPLICA_SETS, SERVICES, SLICES, PodController
from meshgate.api.pods.pod_objects import is_owned_by
from meshgate.api.pods.rollouts import revision_of
from meshgate.api.resource_types import EVENTS, ResourceType
from meshgate.lab.certificates import ensure_certificates
from tests.api.api_objects import MemoryStore, collection_of, type_named
from tests.api.pods.workloads import NAMESPACE, deployment, echo_container, service, tls_container
from tests.support import accepts, free_port, new_folder, reactor, wait_for

OPTIONS = WriteOptions()


class PodControllerTests(TestCase):
    """A collection with a controller."""

    timeout = 60

    def setUp(self) -> None:
        """The controller, which looks at each change."""
        self.store = MemoryStore()
        self.collection = collection_of(self.store, self.look)
        self.events = EventRecorder(self.collection, lambda: 1_800_000_000.0)
        record, now = self.events.record, "2027-01-15T08:00:00Z"
        self.controller = PodController(self.collection, find_images(), record, reactor, lambda: now)
        self.addCleanup(self.controller.stop)

    def look(self, type_: ResourceType) -> None:
        """Have the controller look."""
        self.controller.look()

    async def create(self, type_: ResourceType, body: dict[str, Any]) -> None:
        """Create an object."""
        await self.collection.create(type_, body, OPTIONS)

    async def update(self, make: Callable[[Any], Any]) -> None:
        """Change the Deployment ``echo``."""
        await self.collection.update(DEPLOYMENTS, (NAMESPACE, "echo"), make, OPTIONS)

    def log(self, pod: Any) -> str:
        """The log of a Pod."""
        log = self.controller.log_of(NAMESPACE, pod["metadata"]["name"])
        return "\n".join(line.text for line in log.lines) if log is not None else ""

    def pods(self) -> list[Any]:
        """All Pods."""
        return list(self.collection.list(PODS))

    async def ready(self, number: int) -> list[Any]:
        """Wait until the Deployment has so many Pods, and all are ready; give them."""

        def is_so() -> bool:
            (found,) = self.collection.list(DEPLOYMENTS)
            status = found.get("status", {})
            return (
                status.get("readyReplicas") == status.get("replicas") == status.get("updatedReplicas") == number
                and status["observedGeneration"] == found["metadata"]["generation"]
                and len(self.pods()) == number
            )

        await wait_for(is_so, f"{number} ready pods")
        return self.pods()

    async def test_a_pod_serves(self) -> None:
        """A Pod of the echo image greets with its own name and address, and echoes."""
        port = free_port()
        await self.create(DEPLOYMENTS, deployment(echo_container(port)))
        (pod,) = await self.ready(1)
        address = pod["status"]["podIP"]
        greeting, echo = await deferToThread(talk, address, port, b"hello\n")
        self.assertIn(f"Running on Pod {pod['metadata']['name']}.\n".encode(), greeting)
        self.assertIn(f"In namespace {NAMESPACE}.\nWith IP address {address}.\nService default.\n".encode(), greeting)
        self.assertEqual(echo, b"hello\n")
        self.assertIn(f"listening on {address}:{port}", self.log(pod))

    async def test_nothing_of_it_is_stored(self) -> None:
        """The store has the Deployment alone."""
        await self.create(DEPLOYMENTS, deployment(echo_container(free_port())))
        await self.ready(1)
        self.assertEqual({change.type_name for change in self.store.changes}, {DEPLOYMENTS.qualified_name})

    async def test_scaled(self) -> None:
        """The number of Pods follows the Deployment, down to none; the endpoints of a Service follow the Pods."""
        await self.create(SERVICES, service(targetPort="tcp"))
        await self.create(DEPLOYMENTS, deployment(echo_container(port := free_port())))
        for number in (3, 1, 0, 2):
            await self.update(partial(with_replicas, number))
            addresses = sorted(pod["status"]["podIP"] for pod in await self.ready(number))
            await wait_for(partial(self.are_endpoints, addresses), "the endpoints")
        (slice_,) = self.collection.list(SLICES)
        self.assertEqual([each["port"] for each in slice_["ports"]], [port])
        self.assertEqual(slice_["metadata"]["labels"]["kubernetes.io/service-name"], "echo")

    def endpoints(self) -> list[str]:
        """The addresses of all EndpointSlices."""
        found = [each for slice_ in self.collection.list(SLICES) for each in slice_["endpoints"]]
        return sorted(address for each in found for address in each["addresses"])

    def are_endpoints(self, addresses: list[str]) -> bool:
        """True if these are the addresses of all EndpointSlices."""
        return self.endpoints() == addresses

    async def test_a_new_template(self) -> None:
        """Another template replaces the Pods and the ReplicaSet, and what listened before is closed."""
        first, second = free_port(), free_port()
        await self.create(DEPLOYMENTS, deployment(echo_container(first), replicas=2))
        before = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in await self.ready(2)}
        spec = deployment(echo_container(second), replicas=2)["spec"]
        await self.update(lambda object_: {**object_, "spec": spec})
        after = await self.ready(2)
        self.assertFalse(set(before) & {pod["metadata"]["name"] for pod in after})
        revisions = {revision_of(each): each["spec"]["replicas"] for each in self.collection.list(REPLICA_SETS)}
        self.assertEqual(revisions, {1: 0, 2: 2})
        for address in before.values():
            await wait_for(partial(refuses, address, first), "the port to close")

    async def test_connections_of_an_update(self) -> None:
        """While another template comes in, Pods always listen, and a connection to an old one goes on."""
        port = free_port()
        await self.create(DEPLOYMENTS, deployment(echo_container(port), replicas=2))
        (pod, _) = await self.ready(2)
        with socket.create_connection((pod["status"]["podIP"], port), 5) as client:
            await deferToThread(read_lines, client, 5)
            container = echo_container(port)
            container["env"].append({"name": "MORE", "value": "1"})
            spec = deployment(container, replicas=2)["spec"]
            await self.update(lambda object_: {**object_, "spec": spec})
            await wait_for(
                lambda: pod["metadata"]["name"] not in [each["metadata"]["name"] for each in self.pods()], "it"
            )
            await self.ready(2)
            await wait_for(lambda: not accepts(pod["status"]["podIP"], port), "the port to close")
            client.sendall(b"still here\n")
            self.assertEqual(await deferToThread(read_lines, client, 1), b"still here\n")

    async def test_undone(self) -> None:
        """An earlier template is the latest revision again, under the name that it had."""
        first, second = free_port(), free_port()
        templates = [deployment(echo_container(port))["spec"] for port in (first, second, first)]
        await self.create(DEPLOYMENTS, deployment(echo_container(first)))
        await self.ready(1)
        names = []
        for number, spec in enumerate(templates[1:], 2):
            await self.update(partial(with_spec, spec))
            (pod,) = await self.ready(1)
            names.append(pod["metadata"]["name"].rpartition("-")[0])
            latest = max(self.collection.list(REPLICA_SETS), key=revision_of)
            self.assertEqual((latest["metadata"]["name"], revision_of(latest)), (names[-1], number))
        self.assertEqual(len(self.collection.list(REPLICA_SETS)), 2)

    async def test_recalled(self) -> None:
        """The templates before a restart are known from the changes of the store."""
        (first, second) = free_port(), free_port()
        await self.create(DEPLOYMENTS, deployment(echo_container(first)))
        spec = deployment(echo_container(second))["spec"]
        await self.update(lambda object_: {**object_, "spec": spec})
        self.controller.recall(list(reversed(self.store.changes)))
        await self.ready(1)
        revisions = {revision_of(each): each["spec"]["replicas"] for each in self.collection.list(REPLICA_SETS)}
        self.assertEqual(revisions, {1: 0, 2: 1})

    async def test_a_bad_certificate(self) -> None:
        """A container that fails is started again with pauses, and at once when its Secret is good."""
        volumes = [{"name": "certs", "secret": {"secretName": "pair"}}]
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pair", "namespace": NAMESPACE}}
        await self.create(type_named("Secret"), {**secret, "data": {"tls.crt": "eA==", "tls.key": "eA=="}})
        await self.create(DEPLOYMENTS, deployment(tls_container(free_port()), volumes=volumes))
        self.assertIn("is not a PEM certificate", await self.waits("CrashLoopBackOff"))
        (pod,) = self.pods()
        self.assertEqual(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1)
        leaf = ensure_certificates(Path(new_folder(self)), {"a": ["a.example.com"]}, datetime.now(UTC))["a"]
        files = {"tls.crt": leaf.certificate_chain.read_bytes(), "tls.key": leaf.key.read_bytes()}
        data = {name: base64.b64encode(content).decode() for name, content in files.items()}
        await self.collection.update(
            type_named("Secret"), (NAMESPACE, "pair"), lambda object_: {**object_, "data": data}, OPTIONS
        )
        (pod,) = await self.ready(1)
        self.assertEqual(pod["status"]["containerStatuses"][0]["restartCount"], 1)
        log = self.controller.log_of(NAMESPACE, pod["metadata"]["name"])
        assert log is not None
        assert log.previous is not None
        self.assertIn("error: the certificate", log.previous[-1].text)

    async def test_an_orphan(self) -> None:
        """Pods stay when their Deployment goes without them, and another one with the same labels adopts them."""
        made = deployment(echo_container(free_port()))
        await self.create(DEPLOYMENTS, made)
        (pod,) = await self.ready(1)
        await delete(self.collection, DEPLOYMENTS, (NAMESPACE, "echo"), None, OPTIONS, "Orphan")
        self.controller.look(0)
        await wait_for(lambda: not self.collection.list(DEPLOYMENTS), "the end of the Deployment")
        (set_,) = self.collection.list(REPLICA_SETS)
        self.assertTrue(self.collection.is_stored(REPLICA_SETS, (NAMESPACE, set_["metadata"]["name"])))
        await self.create(DEPLOYMENTS, made)
        (same,) = await self.ready(1)
        self.assertEqual(same["metadata"]["uid"], pod["metadata"]["uid"])
        await self.update(partial(with_replicas, 2))
        await self.ready(2)
        await delete(self.collection, DEPLOYMENTS, (NAMESPACE, "echo"), None, OPTIONS, "Background")
        await wait_for(lambda: not (self.pods() or self.collection.list(REPLICA_SETS)), "the end of everything")

    async def test_pods_change_owners(self) -> None:
        """
        A ReplicaSet adopts Pods that have lost theirs, and releases a Pod that gets another label: it runs on, and
        another one comes in its place.
        """
        await self.create(DEPLOYMENTS, deployment(echo_container(free_port())))
        (first,) = await self.ready(1)
        key = (NAMESPACE, self.collection.list(REPLICA_SETS)[0]["metadata"]["name"])
        await delete(self.collection, REPLICA_SETS, key, None, OPTIONS, "Orphan")
        await wait_for(lambda: self.adopted(first), "the Pod to be adopted")
        self.assertEqual([each["metadata"]["uid"] for each in await self.ready(1)], [first["metadata"]["uid"]])

        def relabelled(pod: Any) -> Any:
            return {**pod, "metadata": {**pod["metadata"], "labels": {"app": "alone"}}}

        await self.collection.update(PODS, (NAMESPACE, first["metadata"]["name"]), relabelled, OPTIONS)
        await wait_for(lambda: len(self.pods()) == 2 and all(map(is_ready, self.pods())), "another Pod")
        self.assertEqual([self.adopted(each) for each in self.pods()].count(True), 1)
        await delete(self.collection, DEPLOYMENTS, (NAMESPACE, "echo"), None, OPTIONS, "Background")
        await wait_for(
            lambda: not self.collection.list(REPLICA_SETS) and len(self.pods()) == 1, "the released Pod alone"
        )
        self.assertEqual(self.pods()[0]["metadata"]["uid"], first["metadata"]["uid"])

    def adopted(self, pod: Any) -> bool:
        """True if a Pod belongs to the only ReplicaSet."""
        sets = self.collection.list(REPLICA_SETS)
        now = self.collection.find(PODS, (NAMESPACE, pod["metadata"]["name"]))
        return now is not None and len(sets) == 1 and is_owned_by(now, sets[0]["metadata"]["uid"])

    async def test_services_of_one_deployment(self) -> None:
        """Two Services on one Deployment, one of them headless, have the same endpoints, each by its own port."""
        second = service("second", targetPort="tcp")
        second["spec"] |= {"clusterIP": "None", "selector": {"app": "echo"}}
        del second["spec"]["ports"][0]["name"]
        await self.create(DEPLOYMENTS, deployment(echo_container(port := free_port()), replicas=2))
        await self.create(SERVICES, service(targetPort=port))
        await self.create(SERVICES, second)
        addresses = sorted(pod["status"]["podIP"] for pod in await self.ready(2))
        await wait_for(partial(self.are_endpoints, sorted(2 * addresses)), "the endpoints")
        found = {each["metadata"]["name"]: each["ports"] for each in self.collection.list(SLICES)}
        one = {"name": "", "protocol": "TCP", "port": port}  # kubectl describe ends with a panic without the name
        self.assertEqual(found, {"echo-pods": [{**one, "name": "tcp"}], "second-pods": [one]})

    async def test_a_set_of_its_own(self) -> None:
        """A ReplicaSet that a client writes has its Pods, and a Pod with restartPolicy Never fails once."""
        template = deployment(echo_container(free_port()))["spec"]["template"]
        set_ = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "own", "namespace": NAMESPACE}}
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "echo"}}, "template": template}
        await self.create(REPLICA_SETS, {**set_, "spec": spec})
        await wait_for(lambda: len([each for each in self.pods() if is_ready(each)]) == 2, "two Pods")
        broken = echo_container(1)
        broken["env"][0]["value"] = "x"
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "once", "namespace": NAMESPACE}}
        await self.create(PODS, {**pod, "spec": {"restartPolicy": "Never", "containers": [broken]}})

        def phase() -> Any:
            return self.collection.get(PODS, NAMESPACE, "once").get("status", {}).get("phase")

        await wait_for(lambda: phase() == "Failed", "the failure")

    async def test_a_deleted_pod(self) -> None:
        """Another one comes in its place."""
        await self.create(DEPLOYMENTS, deployment(echo_container(free_port())))
        (pod,) = await self.ready(1)
        name = pod["metadata"]["name"]
        await self.collection.delete(PODS, (NAMESPACE, name), None, OPTIONS)
        (other,) = await self.ready(1)
        self.assertNotEqual(other["metadata"]["name"], name)

    async def test_a_deleted_deployment(self) -> None:
        """Everything that was made for it goes, and nothing listens any more."""
        port = free_port()
        await self.create(SERVICES, service())
        await self.create(DEPLOYMENTS, deployment(echo_container(port)))
        (pod,) = await self.ready(1)
        await self.collection.delete(DEPLOYMENTS, (NAMESPACE, "echo"), None, OPTIONS)
        await wait_for(lambda: not (self.pods() or self.collection.list(REPLICA_SETS) or self.endpoints()), "the end")
        with self.assertRaises(ConnectionRefusedError):
            await deferToThread(talk, pod["status"]["podIP"], port, b"")

    async def waits(self, reason: str) -> str:
        """Wait until the only Pod waits for a reason; give its message."""

        def state() -> Any:
            return self.pods()[0]["status"]["containerStatuses"][0]["state"].get("waiting", {}) if self.pods() else {}

        await wait_for(lambda: state().get("reason") == reason, reason)
        return str(state()["message"])

    async def test_another_image(self) -> None:
        """A Pod of an image that the lab does not have says so, and what to do."""
        await self.create(DEPLOYMENTS, deployment({"name": "a", "image": "nginx:1.25"}))
        message = await self.waits("ErrImagePull")
        self.assertIn("the lab has no image nginx, only cjimti/go-echo, nicholasjackson/fake-service", message)
        self.assertIn("WorkloadEntry", message)
        events = {(each["involvedObject"]["kind"], each["reason"]) for each in self.collection.list(EVENTS)}
        steps = {("Deployment", "ScalingReplicaSet"), ("ReplicaSet", "SuccessfulCreate"), ("Pod", "ErrImagePull")}
        self.assertEqual(events, steps)

    async def test_a_missing_secret(self) -> None:
        """A container whose Secret is missing waits for it, and serves HTTPS once it is there."""
        port = free_port()
        volumes = [{"name": "certs", "secret": {"secretName": "pair"}}]
        await self.create(DEPLOYMENTS, deployment(tls_container(port), volumes=volumes))
        self.assertIn("there is no Secret pair", await self.waits("ContainerCreating"))
        folder = Path(new_folder(self))
        leaf = ensure_certificates(folder, {"simple": ["simple.example.com"]}, datetime.now(UTC))["simple"]
        data = {
            "tls.crt": base64.b64encode(leaf.certificate_chain.read_bytes()).decode(),
            "tls.key": base64.b64encode(leaf.key.read_bytes()).decode(),
        }
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pair", "namespace": NAMESPACE}}
        await self.create(type_named("Secret"), {**secret, "data": data})
        (pod,) = await self.ready(1)
        answer = await deferToThread(get, pod["status"]["podIP"], port, folder / "ca-chain.cert.pem")
        self.assertIn(b'"name": "simple"', answer)
        self.assertIn(b'"body": "Hello!"', answer)

    async def test_a_port_in_use(self) -> None:
        """A container whose port cannot be bound says why in its status and its log."""
        container = echo_container(1)
        container["env"][0]["value"] = "x"
        await self.create(DEPLOYMENTS, deployment(container))
        self.assertIn("TCP_PORT has to end with a port", await self.waits("CrashLoopBackOff"))
        (pod,) = self.pods()
        self.assertIn("error: the variable TCP_PORT", self.log(pod))

    async def test_an_address_in_use(self) -> None:
        """A Pod whose address and port another program has, such as a second lab, moves to another address."""
        await self.create(DEPLOYMENTS, deployment(echo_container(port := free_port())))
        (pod,) = await self.ready(1)
        other = PodControllerTests()
        other.setUp()
        self.addCleanup(other.controller.stop)
        await other.create(DEPLOYMENTS, deployment(echo_container(port)))
        (moved,) = await other.ready(1)
        self.assertEqual(moved["metadata"]["name"], pod["metadata"]["name"])
        self.assertNotEqual(moved["status"]["podIP"], pod["status"]["podIP"])
        self.assertIn(f"Address already in use; the pod moves to {moved['status']['podIP']}", other.log(moved))
        self.assertEqual(moved["status"]["containerStatuses"][0]["restartCount"], 0)

    async def test_odd_templates(self) -> None:
        """Templates of any form are shown as Pods that cannot run, and the others go on."""
        for number, containers in enumerate(([], [{}, {}], [{"image": 7, "env": "x"}], "x")):
            made = deployment({}, f"odd{number}")
            made["spec"]["template"]["spec"]["containers"] = containers
            try:
                await self.create(DEPLOYMENTS, made)
            except Exception as error:
                self.assertRegex(str(getattr(error, "message", error)), "containers", str(containers))
        await self.create(DEPLOYMENTS, deployment(echo_container(free_port())))
        await wait_for(
            lambda: any(
                re.match("echo-", pod["metadata"]["name"]) and pod.get("status", {}).get("phase") == "Running"
                for pod in self.pods()
            ),
            "the good one",
        )


class ImageNameTests(TestCase):
    """Names of images."""

    def test_names(self) -> None:
        """Registry, tag and digest do not matter."""
        for text, name in (
            ("cjimti/go-echo", "cjimti/go-echo"),
            ("cjimti/go-echo:latest", "cjimti/go-echo"),
            ("docker.io/cjimti/go-echo:v1@sha256:00", "cjimti/go-echo"),
            ("docker.io/library/nginx", "nginx"),
            ("localhost:5000/cjimti/go-echo", "localhost:5000/cjimti/go-echo"),
            ("", ""),
        ):
            self.assertEqual(image_name(text), name)


def with_replicas(number: int, object_: Any) -> Any:
    """A Deployment with another number of Pods."""
    return {**object_, "spec": {**object_["spec"], "replicas": number}}


def with_spec(spec: Any, object_: Any) -> Any:
    """A Deployment with another spec."""
    return {**object_, "spec": spec}


def refuses(address: str, port: int) -> bool:
    """True if nothing listens there."""
    return not accepts(address, port)


def read_lines(client: socket.socket, number: int) -> bytes:
    """Read so many lines; blocks."""
    found = b""
    while found.count(b"\n") < number:
        found += client.recv(1000)
    return found


def talk(address: str, port: int, data: bytes) -> tuple[bytes, bytes]:
    """Connect, read the greeting of five lines, send some bytes, and read as many; blocks."""
    with socket.create_connection((address, port), 5) as client:
        greeting = b""
        while greeting.count(b"\n") < 5:
            greeting += client.recv(1000)
        client.sendall(data)
        return greeting, client.recv(1000) if data else b""


def get(address: str, port: int, chain: Path) -> bytes:
    """Fetch ``/`` over TLS; blocks."""
    context = ssl.create_default_context(cafile=str(chain))
    plain = socket.create_connection((address, port), 5)
    with context.wrap_socket(plain, server_hostname="simple.example.com") as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: simple.example.com\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(1000):
            answer += data
    return answer
