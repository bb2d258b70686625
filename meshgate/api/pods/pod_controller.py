"""
The controller of the lab's pods: it makes Pods of Deployments, runs their containers, and lists their endpoints.

The problem: whatever changes (a Deployment, a Service, a Secret, a deleted Pod), what runs must follow, and the status
of each object must say what runs.

The approach: each change leads to one pass over everything, soon after. A pass compares what should be there with what
is, and makes, starts, stops and removes objects until the two agree; nothing is remembered but the running containers.
There are few pods in a lab, so a pass is cheap.

The invariants: the objects made here are never stored, since they follow from those that are; a container that cannot
run says why in the status of its Pod, and is tried again; and a pass that fails is logged and tried again with the next
change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from meshgate.api.collection import Collection
from meshgate.api.object_events import NORMAL, WARNING
from meshgate.api.pod_log import PodLog
from meshgate.api.pods.endpoint_slices import endpoint_slice, is_ready
from meshgate.api.pods.images import image_name
from meshgate.api.pods.pod_image import ContainerError, ContainerRun, IPodImage, IRunningContainer
from meshgate.api.pods.pod_objects import (
    address_of,
    containers_of,
    environment,
    files,
    is_owned_by,
    pod,
    replica_set,
    replicas_of,
)
from meshgate.api.resource_types import CORE, ResourceType, type_of_kind
from meshgate.api.store_interface import Object

SOON: Final = 0.02
"""Seconds from a change to the pass that follows it; changes that come in between share it."""

RETRY: Final = 5.0
"""Seconds until a container that cannot run is tried again."""


def _type(group: str, kind: str) -> ResourceType:
    found = type_of_kind(group, kind)
    if found is None:
        raise LookupError(kind)
    return found


DEPLOYMENTS: Final = _type("apps", "Deployment")
REPLICA_SETS: Final = _type("apps", "ReplicaSet")
PODS: Final = _type(CORE, "Pod")
SERVICES: Final = _type(CORE, "Service")
SLICES: Final = _type("discovery.k8s.io", "EndpointSlice")
WATCHED: Final = (DEPLOYMENTS, PODS, SERVICES, _type(CORE, "Secret"), _type(CORE, "ConfigMap"))

Key = tuple[str, str]


@dataclass(eq=False, slots=True)
class _Container:
    """
    The container of a Pod, running or not.

    :ivar made_of: the environment, the arguments and the files that it was made of.
    :ivar restarts: how often it was started again.
    :ivar reason: a word for why it does not run; empty while it runs.
    :ivar message: the same as a sentence.
    :ivar since: when it began to run.
    """

    address: str
    made_of: ContainerRun | None = None
    service: IRunningContainer | None = None
    restarts: int = 0
    reason: str = ""
    message: str = ""
    since: str = ""
    log: PodLog = field(default_factory=PodLog)


class PodController:
    """
    The controller.

    :param images: the images that can run, by their names.
    :param record: records an event of an object: its form, reason and message.
    :param timestamp: returns the present time, as Kubernetes writes it.
    """

    _log = Logger()

    def __init__(
        self,
        collection: Collection,
        images: Mapping[str, IPodImage],
        record: Callable[[Object, str, str, str], None],
        reactor: Any,
        timestamp: Callable[[], str],
    ) -> None:
        self._collection = collection
        self._images = images
        self._record = record
        self._reactor = reactor
        self._timestamp = timestamp
        self._containers: dict[str, _Container] = {}
        self._next: dict[str, int] = {}
        self._due: Any = None
        self._stopped = False

    def look(self, after: float = SOON) -> None:
        """Make a pass soon."""
        if self._stopped:
            return
        if self._due is not None and self._due.active():
            if self._due.getTime() - self._reactor.seconds() <= after:
                return
            self._due.cancel()
        self._due = self._reactor.callLater(after, self._pass)

    def stop(self) -> Deferred[None]:
        """Stop all containers."""
        self._stopped = True
        if self._due is not None and self._due.active():
            self._due.cancel()
        running = [each.service for each in self._containers.values() if each.service is not None]
        self._containers.clear()
        return gatherResults([each.stop() for each in running]).addCallback(lambda _: None)

    def log_of(self, namespace: str, name: str) -> PodLog | None:
        """
        The log of a Pod's container; None if it has none yet.

        :raises RefusedError: if there is no such Pod.
        """
        object_ = self._collection.get(PODS, namespace, name)
        container = self._containers.get(object_["metadata"]["uid"])
        return container.log if container is not None else None

    # A pass.

    def _pass(self) -> None:
        try:
            for deployment in self._collection.list(DEPLOYMENTS):
                self._follow_deployment(deployment)
            self._remove_orphans()
            self._run_pods()
            for deployment in self._collection.list(DEPLOYMENTS):
                self._tell_deployment(deployment)
            self._list_endpoints()
        except Exception:
            self._log.failure("the lab's pods could not follow a change")

    def _follow_deployment(self, deployment: Object) -> None:
        """Have the ReplicaSet and the Pods of a Deployment, and remove those of an earlier template in turn."""
        wanted = self._put(REPLICA_SETS, replica_set(deployment))
        pods = self._owned(PODS, wanted)
        number = replicas_of(deployment)
        uid = wanted["metadata"]["uid"]
        for surplus in pods[number:]:
            self._remove(PODS, surplus)
        for _ in range(number - len(pods)):
            self._put(PODS, self._fresh_pod(wanted, uid))
        ready = sum(map(is_ready, self._owned(PODS, wanted)))
        for earlier in self._owned(REPLICA_SETS, deployment):
            if earlier["metadata"]["name"] != wanted["metadata"]["name"]:
                # An old Pod goes for each new one that is ready, as in a rolling update.
                for old in self._owned(PODS, earlier)[max(0, number - ready) :]:
                    self._remove(PODS, old)
                if not self._owned(PODS, earlier):
                    self._remove(REPLICA_SETS, earlier)

    def _fresh_pod(self, set_: Object, uid: str) -> dict[str, Any]:
        while True:
            self._next[uid] = self._next.get(uid, -1) + 1
            made = pod(set_, self._next[uid])
            if self._collection.find(PODS, (made["metadata"]["namespace"], made["metadata"]["name"])) is None:
                return made

    def _remove_orphans(self) -> None:
        """Remove what was made for an object that is gone, and stop the containers of Pods that are gone."""
        for type_, owners in ((REPLICA_SETS, DEPLOYMENTS), (PODS, REPLICA_SETS), (SLICES, SERVICES)):
            alive = {each["metadata"]["uid"] for each in self._collection.list(owners)}
            for each in self._collection.list(type_):
                if self._collection.is_made(type_, each) and not any(is_owned_by(each, uid) for uid in alive):
                    self._remove(type_, each)
        present = {each["metadata"]["uid"] for each in self._collection.list(PODS)}
        for uid in [uid for uid in self._containers if uid not in present]:
            container = self._containers.pop(uid)
            if container.service is not None:
                container.service.stop()

    def _run_pods(self) -> None:
        for each in self._collection.list(PODS):
            metadata = each["metadata"]
            container = self._containers.get(metadata["uid"])
            if container is None:
                address = self._free_address(metadata["namespace"], metadata["name"])
                container = self._containers[metadata["uid"]] = _Container(address)
            self._run(each, container)
            key = (metadata["namespace"], metadata["name"])
            self._collection.set_status(PODS, key, partial(self._pod_status, container))

    def _free_address(self, namespace: str, name: str) -> str:
        taken = {each.address for each in self._containers.values()}
        attempt = 0
        while (address := address_of(namespace, name, attempt)) in taken:
            attempt += 1
        return address

    def _run(self, object_: Object, container: _Container) -> None:
        """Start the container of a Pod, or start it again if it would be made of something else now."""
        try:
            made_of, image = self._prepared(object_, container.address)
            if container.service is not None and container.made_of == made_of:
                return
            if container.service is not None:
                container.service.stop()
                container.service, container.restarts = None, container.restarts + 1
            container.made_of = made_of
            service = image.make(made_of, self._reactor)
            service.start()
        except ContainerError as error:
            if not container.reason:
                container.reason = "CrashLoopBackOff"
            if container.message != str(error):
                container.message = str(error)
                self._write_log(container, f"error: {error}")
                self._record(object_, WARNING, container.reason, str(error))
            self.look(RETRY)
            return
        container.service, container.reason, container.message = service, "", ""
        container.since = self._timestamp()
        self._record(object_, NORMAL, "Started", f"the container listens on {container.address}")
        for asked, number in service.ports.items():
            other = f" (instead of {asked}, which is privileged)" if number != asked else ""
            self._write_log(container, f"listening on {container.address}:{number}{other}")

    def _prepared(self, object_: Object, address: str) -> tuple[ContainerRun, IPodImage]:
        containers = containers_of(object_)
        if len(containers) != 1:
            raise ContainerError(f"the lab runs pods of one container, and this one has {len(containers)}")
        (container,) = containers
        name = image_name(str(container.get("image", "")))
        image = self._images.get(name)
        self._containers[object_["metadata"]["uid"]].reason = "" if image is not None else "ErrImagePull"
        if image is None:
            raise ContainerError(
                f"the lab has no image {name[:100] or '(none)'}, only {', '.join(sorted(self._images))}; to route to a "
                "service that runs elsewhere, apply a WorkloadEntry with its address and the labels of this pod"
            )
        namespace = object_["metadata"]["namespace"]

        def lookup(kind: str, wanted: str) -> Object | None:
            return self._collection.find(_type(CORE, kind), (namespace, wanted))

        ports = [each.get("containerPort") for each in container.get("ports") or () if isinstance(each, Mapping)]
        run = ContainerRun(
            address,
            environment(object_, container, address, lookup),
            [str(each) for key in ("command", "args") for each in container.get(key) or ()],
            [port for port in ports if isinstance(port, int)],
            files(object_, container, lookup),
        )
        return run, image

    def _write_log(self, container: _Container, line: str) -> None:
        container.log.write(self._timestamp(), line)

    # Statuses.

    def _pod_status(self, container: _Container, object_: Object) -> dict[str, Any]:
        runs, before = container.service is not None, object_.get("status") or {}
        start = before.get("startTime") or self._timestamp()
        state: dict[str, Any] = (
            {"running": {"startedAt": container.since}}
            if runs
            else {"waiting": {"reason": container.reason, "message": container.message}}
        )
        listed = containers_of(object_)
        names = [str(each.get("name", "")) for each in listed]
        images = [str(each.get("image", "")) for each in listed]
        return {
            "phase": "Running" if runs else "Pending",
            "hostIP": "127.0.0.1",
            "podIP": container.address,
            "podIPs": [{"ip": container.address}],
            "startTime": start,
            "conditions": [
                self._condition(name, name == "Initialized" or name == "PodScheduled" or runs, before)
                for name in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {
                    "name": name,
                    "image": image,
                    "imageID": "",
                    "ready": runs,
                    "started": runs,
                    "restartCount": container.restarts,
                    "state": state,
                }
                for name, image in zip(names, images, strict=True)
            ],
        }

    def _condition(self, name: str, holds: bool, before: Mapping[str, Any], **more: str) -> dict[str, Any]:
        status = "True" if holds else "False"
        known = next((each for each in before.get("conditions") or () if each["type"] == name), None)
        since = known["lastTransitionTime"] if known is not None and known["status"] == status else self._timestamp()
        return {"type": name, "status": status, "lastTransitionTime": since, **more}

    def _tell_deployment(self, deployment: Object) -> None:
        """Tell the status of a Deployment and its ReplicaSets."""
        sets = self._owned(REPLICA_SETS, deployment)
        for each in sets:
            pods = self._owned(PODS, each)
            ready = sum(map(is_ready, pods))
            status = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
            generation = each["metadata"]["generation"]
            key = (each["metadata"]["namespace"], each["metadata"]["name"])
            told = {**status, "fullyLabeledReplicas": len(pods), "observedGeneration": generation}
            self._collection.set_status(REPLICA_SETS, key, partial(_instead, told))
        name = replica_set(deployment)["metadata"]["name"]
        updated = [each for each in sets if each["metadata"]["name"] == name]
        pods = [each for set_ in sets for each in self._owned(PODS, set_)]
        ready, wanted = sum(map(is_ready, pods)), replicas_of(deployment)
        fresh = sum(len(self._owned(PODS, each)) for each in updated)
        before = deployment.get("status") or {}
        available = ready >= wanted
        told_status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": fresh,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, wanted - ready),
            "conditions": [
                self._condition(
                    "Available",
                    available,
                    before,
                    reason="MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
                    message=f"{ready} of {wanted} pods are ready",
                ),
                self._condition(
                    "Progressing", True, before, reason="NewReplicaSetAvailable", message=f"{name} has its pods"
                ),
            ],
        }
        key = (deployment["metadata"]["namespace"], deployment["metadata"]["name"])
        self._collection.set_status(DEPLOYMENTS, key, partial(_instead, told_status))

    def _list_endpoints(self) -> None:
        """Have an EndpointSlice for each Service of the API that selects Pods of the lab."""
        pods = self._collection.list(PODS)
        listening = {uid: each.service.ports for uid, each in self._containers.items() if each.service is not None}
        for service in self._collection.list(SERVICES):
            namespace = service["metadata"]["namespace"]
            own = [each for each in pods if each["metadata"]["namespace"] == namespace]
            made = endpoint_slice(service, own, listening)
            if made is not None and (made["endpoints"] or self._collection.find(SLICES, _key(made)) is not None):
                self._put(SLICES, made)

    # Objects.

    def _owned(self, type_: ResourceType, by: Object) -> list[Object]:
        uid, namespace = by["metadata"]["uid"], by["metadata"]["namespace"]
        return [each for each in self._collection.list(type_, namespace) if is_owned_by(each, uid)]

    def _put(self, type_: ResourceType, object_: Mapping[str, Any]) -> Object:
        return self._collection.put_made(type_, object_)

    def _remove(self, type_: ResourceType, object_: Object) -> None:
        self._collection.remove_made(type_, _key(object_))


def _key(object_: Object) -> Key:
    return object_["metadata"]["namespace"], object_["metadata"]["name"]


def _instead(status: Mapping[str, Any], object_: Object) -> Mapping[str, Any]:
    """The status, whatever the object is."""
    return status
