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

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from meshgate.api.collection import Collection, WriteOptions
from meshgate.api.deletion import FOREGROUND
from meshgate.api.object_events import NORMAL
from meshgate.api.pod_log import PodLog
from meshgate.api.pods.containers import PodContainers, condition
from meshgate.api.pods.endpoint_slices import endpoint_slices, endpoints_of, is_ready
from meshgate.api.pods.pod_image import IPodImage
from meshgate.api.pods.pod_objects import (
    HASH_LABEL,
    is_owned_by,
    owner,
    pod,
    replica_set,
    replicas_of,
    resized,
    template_hash,
    template_of,
)
from meshgate.api.pods.rollouts import REVISION, SetSize, kept_revisions, limits, next_step, revision_of
from meshgate.api.resource_types import CORE, ResourceType, type_of_kind
from meshgate.api.store_interface import Author, Change, Object, value_at

SOON: Final = 0.02
"""Seconds from a change to the pass that follows it; changes that come in between share it."""


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
ENDPOINTS: Final = _type(CORE, "Endpoints")
WATCHED: Final = (DEPLOYMENTS, REPLICA_SETS, PODS, SERVICES, _type(CORE, "Secret"), _type(CORE, "ConfigMap"))

CONTROLLER: Final = WriteOptions(Author("meshgate", "pod-controller"), manager="meshgate")

Key = tuple[str, str]


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
        self._record = record
        self._reactor = reactor
        self._timestamp = timestamp
        self._containers = PodContainers(images, self._content, record, reactor, timestamp, self.look)
        self._next: dict[str, int] = {}
        self._past: dict[str, list[Object]] = {}
        self._progress: dict[str, tuple[Any, float]] = {}
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

    def recall(self, changes: Sequence[Change]) -> None:
        """
        Learn of the earlier templates of Deployments, from the changes that the store remembers.

        :param changes: the latest first.
        """
        for change in reversed(changes):
            if change.type_name != DEPLOYMENTS.qualified_name or change.after is None:
                continue
            known = self._past.setdefault(change.after["metadata"]["uid"], [])
            name = template_hash(template_of(change.after))
            known[:] = [each for each in known if template_hash(template_of(each)) != name]
            known.append(change.after)

    @property
    def listens(self) -> bool:
        """True if a container listens on a port."""
        return bool(self._containers.listening())

    def stop(self) -> Deferred[None]:
        """Stop all containers."""
        self._stopped = True
        if self._due is not None and self._due.active():
            self._due.cancel()
        return self._containers.stop()

    def log_of(self, namespace: str, name: str) -> PodLog | None:
        """
        The log of a Pod's container; None if it has none yet.

        :raises RefusedError: if there is no such Pod.
        """
        return self._containers.log_of(self._collection.get(PODS, namespace, name))

    def _content(self, kind: str, namespace: str, name: str) -> Object | None:
        return self._collection.find(_type(CORE, kind), (namespace, name))

    # A pass.

    def _pass(self) -> None:
        try:
            for deployment in self._collection.list(DEPLOYMENTS):
                self._follow_deployment(deployment)
            self._remove_orphans()
            for set_ in self._collection.list(REPLICA_SETS):
                self._follow_set(set_)
            for each in self._collection.list(PODS):
                self._containers.run(each)
                self._collection.set_status(PODS, _key(each), self._containers.status)
            for set_ in self._collection.list(REPLICA_SETS):
                self._tell_set(set_)
            for deployment in self._collection.list(DEPLOYMENTS):
                self._tell_deployment(deployment)
            self._list_endpoints()
        except Exception:
            self._log.failure("the lab's pods could not follow a change")

    def _follow_deployment(self, deployment: Object) -> None:
        """Have the ReplicaSets of a Deployment, and shift its Pods from those of earlier templates in turn."""
        if "deletionTimestamp" in deployment["metadata"]:
            return
        self._restore_history(deployment)
        self._adopt(deployment)
        sets = sorted(self._owned(REPLICA_SETS, deployment), key=revision_of)
        current = template_hash(template_of(deployment))
        new = next((each for each in sets if each["metadata"]["labels"].get(HASH_LABEL) == current), None)
        if new is None and sets and value_at(deployment, ("spec", "paused")) is True:
            new = sets[-1]  # a paused Deployment goes on with the template that it has
        old = [each for each in sets if each is not new]
        sizes = [self._size(each) for each in old]
        number, others = next_step(
            deployment, replicas_of(deployment), self._size(new) if new is not None else SetSize(0, 0), sizes
        )
        revision = max([revision_of(each) for each in old], default=0) + 1
        if new is None:
            self._scale(deployment, replica_set(deployment, number, revision), 0)
        else:
            revision = max(revision, revision_of(new))
            self._scale(deployment, resized(new, number, revision), new["spec"]["replicas"])
        self._collection.annotate(DEPLOYMENTS, _key(deployment), REVISION, str(revision))
        for each, wanted in zip(old, others, strict=True):
            self._scale(deployment, resized(each, wanted, revision_of(each)), each["spec"]["replicas"])
        empty = [each for each, wanted in zip(old, others, strict=True) if not wanted and not self._owned(PODS, each)]
        for each in empty[: max(0, len(empty) - kept_revisions(deployment))]:
            self._drop(REPLICA_SETS, each)

    def _restore_history(self, deployment: Object) -> None:
        """Have the ReplicaSets of the templates that a Deployment had before the start."""
        current = template_hash(template_of(deployment))
        past = self._past.pop(deployment["metadata"]["uid"], [])
        for number, each in enumerate(past[-kept_revisions(deployment) - 1 :], 1):
            if template_hash(template_of(each)) != current:
                annotations = each["metadata"].get("annotations") or {}
                then = {**deployment, "metadata": {**deployment["metadata"], "annotations": annotations}}
                self._collection.put_made(REPLICA_SETS, replica_set(then, 0, number, template_of(each)))

    def _adopt(self, deployment: Object) -> None:
        """Own the ReplicaSets that have lost their Deployment, and whose Pods this one would select."""
        labels = value_at(deployment, ("spec", "selector", "matchLabels"))
        if not isinstance(labels, Mapping) or not labels:
            return
        for each in self._collection.list(REPLICA_SETS, deployment["metadata"]["namespace"]):
            metadata = each["metadata"]
            known = metadata.get("labels") or {}
            if not metadata.get("ownerReferences") and HASH_LABEL in known and labels.items() <= known.items():
                self._put(REPLICA_SETS, {**each, "metadata": {**metadata, "ownerReferences": [owner(deployment)]}})

    def _scale(self, deployment: Object, set_: Mapping[str, Any], before: int) -> None:
        wanted, name = set_["spec"]["replicas"], set_["metadata"]["name"]
        self._put(REPLICA_SETS, set_)
        if wanted != before:
            direction = "up" if wanted > before else "down"
            message = f"Scaled {direction} replica set {name} from {before} to {wanted}"
            self._record(deployment, NORMAL, "ScalingReplicaSet", message)

    def _size(self, set_: Object) -> SetSize:
        return SetSize(set_["spec"]["replicas"], sum(map(is_ready, self._owned(PODS, set_))))

    def _follow_set(self, set_: Object) -> None:
        """Have as many Pods of a ReplicaSet as it asks for; of too many, those that are not ready go first."""
        if "deletionTimestamp" in set_["metadata"] or self._claim(set_):
            return
        pods = sorted(self._owned(PODS, set_), key=lambda each: (not is_ready(each), each["metadata"]["name"]))
        number = replicas_of(set_)
        for surplus in pods[number:]:
            self._record(set_, NORMAL, "SuccessfulDelete", f"Deleted pod: {surplus['metadata']['name']}")
            self._containers.retire(surplus)
            self._drop(PODS, surplus)
        for _ in range(number - len(pods)):
            made = self._collection.put_made(PODS, self._fresh_pod(set_))
            self._record(set_, NORMAL, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    def _claim(self, set_: Object) -> bool:
        """
        Own the Pods without an owner that a ReplicaSet selects, and release those that it no longer selects
        (Kubernetes, pkg/controller/controller_ref_manager.go).

        :return: True if a Pod changes; another pass follows then.
        """
        selector = value_at(set_, ("spec", "selector"))
        labels = selector.get("matchLabels") if isinstance(selector, Mapping) else None
        if not isinstance(labels, Mapping) or not labels or selector.get("matchExpressions"):
            return False
        changed = False
        for each in self._collection.list(PODS, set_["metadata"]["namespace"]):
            metadata = each["metadata"]
            fits = labels.items() <= (metadata.get("labels") or {}).items()
            is_free = not metadata.get("ownerReferences") and "deletionTimestamp" not in metadata
            if (fits and is_free) or (not fits and is_owned_by(each, set_["metadata"]["uid"])):
                owners = [owner(set_)] if fits else []
                self._put(PODS, {**each, "metadata": {**metadata, "ownerReferences": owners}})
                changed = True
        return changed

    def _fresh_pod(self, set_: Object) -> dict[str, Any]:
        uid = set_["metadata"]["uid"]
        while True:
            self._next[uid] = self._next.get(uid, -1) + 1
            made = pod(set_, self._next[uid])
            if self._collection.find(PODS, _key(made)) is None:
                return made

    def _remove_orphans(self) -> None:
        """Remove what was made for an object that is gone, and end the containers of Pods that are gone."""
        for type_, owners in (
            (REPLICA_SETS, DEPLOYMENTS),
            (PODS, REPLICA_SETS),
            (SLICES, SERVICES),
            (ENDPOINTS, SERVICES),
        ):
            alive = {each["metadata"]["uid"] for each in self._collection.list(owners) if not is_going(each)}
            for each in self._collection.list(type_):
                if self._collection.is_made(type_, each) and not any(is_owned_by(each, uid) for uid in alive):
                    self._collection.remove_made(type_, _key(each))
        self._containers.keep(each["metadata"]["uid"] for each in self._collection.list(PODS))

    # Statuses.

    def _tell_set(self, set_: Object) -> None:
        pods = self._owned(PODS, set_)
        ready = sum(map(is_ready, pods))
        status = {
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "fullyLabeledReplicas": len(pods),
            "observedGeneration": set_["metadata"]["generation"],
        }
        self._collection.set_status(REPLICA_SETS, _key(set_), partial(_instead, status))

    def _tell_deployment(self, deployment: Object) -> None:
        """Tell the status of a Deployment."""
        sets = self._owned(REPLICA_SETS, deployment)
        current = template_hash(template_of(deployment))
        pods = {each["metadata"]["name"]: self._owned(PODS, each) for each in sets}
        new = next((each for each in sets if each["metadata"]["labels"].get(HASH_LABEL) == current), None)
        wanted, total = replicas_of(deployment), sum(map(len, pods.values()))
        ready = sum(is_ready(each) for owned in pods.values() for each in owned)
        updated = len(pods[new["metadata"]["name"]]) if new is not None else 0
        before, now = deployment.get("status") or {}, self._timestamp()
        available = ready >= wanted - limits(deployment, wanted)[1]
        held, reason, message = self._progressing(deployment, new, (wanted, total, ready, updated))
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": total,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, max(wanted, total) - ready),
            "conditions": [
                condition(
                    *("Available", available, before, now),
                    reason="MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
                    message=f"{ready} of {wanted} pods are ready",
                ),
                condition("Progressing", held, before, now, reason=reason, message=message),
            ],
        }
        self._collection.set_status(DEPLOYMENTS, _key(deployment), partial(_instead, status))

    def _progressing(
        self, deployment: Object, new: Object | None, counts: tuple[int, int, int, int]
    ) -> tuple[bool, str, str]:
        """True, a word and a sentence if a rollout comes to its end in time."""
        wanted, total, ready, updated = counts
        uid, now = deployment["metadata"]["uid"], self._reactor.seconds()
        if value_at(deployment, ("spec", "paused")) is True:
            self._progress.pop(uid, None)
            return True, "DeploymentPaused", "the Deployment is paused"
        name = new["metadata"]["name"] if new is not None else ""
        if (total, ready, updated) == (wanted, wanted, wanted):
            self._progress.pop(uid, None)
            return True, "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.'
        known, since = self._progress.get(uid, (None, now))
        if known != (name, counts):
            since = now
        self._progress[uid] = (name, counts), since
        deadline = value_at(deployment, ("spec", "progressDeadlineSeconds"))
        left = since + (deadline if type(deadline) is int else 600) - now
        if left <= 0:
            return False, "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.'
        self.look(left)
        return True, "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.'

    def _list_endpoints(self) -> None:
        """Have the EndpointSlices and Endpoints of each Service that selects Pods of the lab."""
        pods, listening = self._collection.list(PODS), self._containers.listening()
        for service in self._collection.list(SERVICES):
            own = [each for each in pods if each["metadata"]["namespace"] == service["metadata"]["namespace"]]
            slices = endpoint_slices(service, own, listening)
            known = [each for each in self._owned(SLICES, service) if self._collection.is_made(SLICES, each)]
            if not known and not any(each["endpoints"] for each in slices):
                continue
            for each in slices:
                self._collection.put_made(SLICES, each)
            self._collection.put_made(ENDPOINTS, endpoints_of(service, slices))
            names = {each["metadata"]["name"] for each in slices}
            for former in known:
                if former["metadata"]["name"] not in names:
                    self._collection.remove_made(SLICES, _key(former))

    # Objects.

    def _put(self, type_: ResourceType, body: Mapping[str, Any]) -> None:
        """Have an object that follows from others; one that the store keeps is changed there."""
        known = self._collection.find(type_, _key(body))
        if known is None or self._collection.is_made(type_, known):
            self._collection.put_made(type_, body)
        elif any(known[key] != body[key] for key in ("metadata", "spec")):
            wanted = {**body, "metadata": {**body["metadata"], "resourceVersion": ""}}
            self._write(self._collection.update(type_, _key(body), lambda before: wanted, CONTROLLER))

    def _drop(self, type_: ResourceType, object_: Object) -> None:
        """Remove such an object."""
        if self._collection.is_made(type_, object_):
            self._collection.remove_made(type_, _key(object_))
        else:
            self._write(self._collection.delete(type_, _key(object_), None, CONTROLLER))

    def _write(self, written: Coroutine[Deferred[Any], Any, Any]) -> None:
        done = Deferred.fromCoroutine(written)
        done.addErrback(lambda failure: self._log.failure("the lab's pods could not follow a change", failure))

    def _owned(self, type_: ResourceType, by: Object) -> list[Object]:
        uid, namespace = by["metadata"]["uid"], by["metadata"]["namespace"]
        return [each for each in self._collection.list(type_, namespace) if is_owned_by(each, uid)]


def is_going(object_: Object) -> bool:
    """True if an object is deleted once those that it owns are gone."""
    metadata = object_["metadata"]
    return "deletionTimestamp" in metadata and FOREGROUND in (metadata.get("finalizers") or ())


def _key(object_: Mapping[str, Any]) -> Key:
    return object_["metadata"]["namespace"], object_["metadata"]["name"]


def _instead(status: Mapping[str, Any], object_: Object) -> Mapping[str, Any]:
    """The status, whatever the object is."""
    return status
