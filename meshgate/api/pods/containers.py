"""
The containers of Pods: services of this process that start, fail, are tried again, and end.

The problem: what a container is made of (its environment, the files of its volumes) comes and changes, and a container
that goes must not break the connections of clients who know nothing of it.

The approach: each pass offers every Pod. A container that lacks something waits for it, and says for what; one that
fails is started again after a pause that doubles, or at once when what it is made of has changed; one that an update
replaces goes on listening until the workers know, and then serves the connections that it has for as long as its Pod's
grace period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults

from meshgate.api.object_events import NORMAL, WARNING
from meshgate.api.pod_log import PodLog
from meshgate.api.pods.images import image_name
from meshgate.api.pods.pod_image import AddressInUseError, ContainerError, ContainerRun, IPodImage, IRunningContainer
from meshgate.api.pods.pod_objects import NO_CONFIG, NO_VOLUME, address_of, containers_of, environment, files
from meshgate.api.store_interface import Object, value_at

FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 300.0
"""Seconds from the failure of a container to its next start; each pause is twice the one before."""

LINGER: Final = 1.0
"""Seconds that a container which goes still takes connections, from workers that do not know it yet."""

LONGEST_GRACE: Final = 300

MOST_MOVES: Final = 3
"""How often a Pod gets another address; a port that is in use on all of them is in use on every address."""

NO_IMAGE: Final = "ErrImagePull"
CRASHED: Final = "CrashLoopBackOff"

_EVENTS: Final = {NO_VOLUME: "FailedMount", NO_CONFIG: "Failed", CRASHED: "BackOff"}
"""The reasons of events by those of containers, where they differ."""

ContentLookup = Callable[[str, str, str], Object | None]
"""The object of a kind, a namespace and a name; None if there is none."""


@dataclass(eq=False, slots=True)
class _Container:
    """
    The container of a Pod, running or not.

    :ivar made_of: the environment, the arguments and the files that it was made of last.
    :ivar moves: how often the Pod got another address, since another program had its address and port.
    :ivar is_stopping: True while it ends, before it is started again.
    :ivar starts: how often it was started.
    :ivar reason: a word for why it does not run; empty while it runs.
    :ivar message: the same as a sentence.
    :ivar since: when it began to run.
    :ivar next_start: the time of the next start after a failure.
    :ivar last_end: the state in which it ended last.
    """

    address: str
    log: PodLog
    made_of: ContainerRun | None = None
    service: IRunningContainer | None = None
    moves: int = 0
    is_stopping: bool = False
    starts: int = 0
    reason: str = NO_VOLUME
    message: str = ""
    since: str = ""
    next_start: float = 0.0
    pause: float = FIRST_PAUSE
    last_end: Mapping[str, Any] | None = None


@dataclass(eq=False, slots=True)
class _Leaving:
    """A container whose Pod is gone, and which still serves connections."""

    container: _Container
    service: IRunningContainer
    due: list[Any] = field(default_factory=list)


class PodContainers:
    """
    All containers.

    :param images: the images that can run, by their names.
    :param lookup: finds Secrets and ConfigMaps.
    :param record: records an event of an object: its form, reason and message.
    :param timestamp: returns the present time, as Kubernetes writes it.
    :param look: asks for another pass after some seconds.
    """

    def __init__(
        self,
        images: Mapping[str, IPodImage],
        lookup: ContentLookup,
        record: Callable[[Object, str, str, str], None],
        reactor: Any,
        timestamp: Callable[[], str],
        look: Callable[[float], None],
    ) -> None:
        self._images = images
        self._lookup = lookup
        self._record = record
        self._reactor = reactor
        self._timestamp = timestamp
        self._look = look
        self._containers: dict[str, _Container] = {}
        self._leaving: set[_Leaving] = set()

    def log_of(self, pod: Object) -> PodLog | None:
        """The log of a Pod's container; None if it has none yet."""
        container = self._containers.get(pod["metadata"]["uid"])
        return container.log if container is not None else None

    def listening(self) -> dict[str, Mapping[int, int]]:
        """The ports on which Pods listen, by the Pod's uid and the port that was asked for."""
        return {uid: each.service.ports for uid, each in self._containers.items() if each.service is not None}

    # Running.

    def run(self, pod: Object) -> None:
        """Start the container of a Pod, or start it again if it would be made of something else now."""
        container = self._container(pod)
        if container.is_stopping:
            return
        try:
            made_of, image = self._prepared(pod, container)
            if container.service is not None:
                if container.made_of != made_of:
                    self._restart(pod, container, container.service)
                return
            if made_of == container.made_of and self._reactor.seconds() < container.next_start:
                return
            self._start(pod, container, made_of, image)
        except AddressInUseError as error:
            if container.moves == MOST_MOVES:
                self._failed(pod, container, error)
                return
            container.moves, container.starts = container.moves + 1, container.starts - 1
            container.address = self._free_address(pod, container.moves)
            container.log.write(self._timestamp(), f"{error}; the pod moves to {container.address}")
            self.run(pod)
        except ContainerError as error:
            self._failed(pod, container, error)

    def _container(self, pod: Object) -> _Container:
        metadata = pod["metadata"]
        found = self._containers.get(metadata["uid"])
        if found is None:
            address = self._free_address(pod, 0)
            log = PodLog(next((str(each.get("name", "")) for each in containers_of(pod)), ""))
            found = self._containers[metadata["uid"]] = _Container(address, log)
        return found

    def _free_address(self, pod: Object, attempt: int) -> str:
        taken = {each.address for each in (*self._containers.values(), *(each.container for each in self._leaving))}
        metadata = pod["metadata"]
        while (address := address_of(metadata["namespace"], metadata["name"], attempt)) in taken:
            attempt += 1
        return address

    def _start(self, pod: Object, container: _Container, made_of: ContainerRun, image: IPodImage) -> None:
        if container.starts:
            container.log.restart()
        container.made_of, container.starts = made_of, container.starts + 1
        service = image.make(made_of, self._reactor)
        service.start()
        container.service, container.reason, container.message = service, "", ""
        container.since, container.pause = self._timestamp(), FIRST_PAUSE
        self._record(pod, NORMAL, "Started", f"the container listens on {container.address}")
        for asked, number in service.ports.items():
            other = f" (instead of {asked}, which is privileged)" if number != asked else ""
            container.log.write(self._timestamp(), f"listening on {container.address}:{number}{other}")

    def _restart(self, pod: Object, container: _Container, service: IRunningContainer) -> None:
        """End a container, and have it started again once its port is free."""
        self._record(pod, NORMAL, "Killing", "a Secret, a ConfigMap or the template of the container has changed")
        container.service, container.is_stopping = None, True
        container.last_end = self._ended(container, 0, "Completed", "")

        def ended(_: object) -> None:
            container.is_stopping = False
            self._look(0)

        service.stop().addBoth(ended)

    def _failed(self, pod: Object, container: _Container, error: ContainerError) -> None:
        reason, message = error.reason or CRASHED, str(error)
        if not error.reason:
            container.last_end = self._ended(container, 1, "Error", message)
            container.next_start = self._reactor.seconds() + container.pause
            if value_at(pod, ("spec", "restartPolicy")) == "Never":
                container.next_start = float("inf")
            else:
                self._look(container.pause)
            container.pause = min(2 * container.pause, LONGEST_PAUSE)
        if (container.reason, container.message) != (reason, message) or not error.reason:
            container.log.write(self._timestamp(), f"error: {message}")
            self._record(pod, WARNING, _EVENTS.get(reason, reason), message)
        container.reason, container.message = reason, message

    def _ended(self, container: _Container, code: int, reason: str, message: str) -> dict[str, Any]:
        now = self._timestamp()
        ended = {"exitCode": code, "reason": reason, "startedAt": container.since or now, "finishedAt": now}
        return {**ended, "message": message} if message else ended

    def _prepared(self, pod: Object, container: _Container) -> tuple[ContainerRun, IPodImage]:
        containers = containers_of(pod)
        if len(containers) != 1:
            raise ContainerError(f"the lab runs pods of one container, and this one has {len(containers)}", NO_CONFIG)
        (spec,) = containers
        name = image_name(str(spec.get("image", "")))
        image = self._images.get(name)
        if image is None:
            raise ContainerError(
                f"the lab has no image {name[:100] or '(none)'}, only {', '.join(sorted(self._images))}; to route to a "
                "service that runs elsewhere, apply a WorkloadEntry with its address and the labels of this pod",
                NO_IMAGE,
            )
        namespace = pod["metadata"]["namespace"]

        def lookup(kind: str, wanted: str) -> Object | None:
            return self._lookup(kind, namespace, wanted)

        ports = [each.get("containerPort") for each in spec.get("ports") or () if isinstance(each, Mapping)]
        run = ContainerRun(
            container.address,
            environment(pod, spec, container.address, lookup),
            [str(each) for key in ("command", "args") for each in spec.get(key) or ()],
            [port for port in ports if isinstance(port, int)],
            files(pod, spec, lookup),
        )
        return run, image

    # Ending.

    def retire(self, pod: Object) -> None:
        """Have the container of a Pod that is replaced serve its connections to their end."""
        container = self._containers.pop(pod["metadata"]["uid"], None)
        if container is None or container.service is None:
            return
        container.log.end()
        grace = value_at(pod, ("spec", "terminationGracePeriodSeconds"))
        seconds = min(grace, LONGEST_GRACE) if type(grace) is int and grace >= 0 else 30
        leaving = _Leaving(container, container.service)
        self._leaving.add(leaving)
        leaving.due.append(self._reactor.callLater(LINGER, self._drain, leaving, seconds))

    def _drain(self, leaving: _Leaving, seconds: float) -> None:
        leaving.due.append(self._reactor.callLater(seconds, leaving.service.stop))
        leaving.service.drain().addBoth(lambda _: self._left(leaving))

    def _left(self, leaving: _Leaving) -> None:
        self._leaving.discard(leaving)
        for due in leaving.due:
            if due.active():
                due.cancel()

    def keep(self, present: Iterable[str]) -> None:
        """
        End the containers of Pods that are gone.

        :param present: the uids of all Pods.
        """
        known = set(present)
        for uid in [uid for uid in self._containers if uid not in known]:
            container = self._containers.pop(uid)
            container.log.end()
            if container.service is not None:
                container.service.stop()

    def stop(self) -> Deferred[None]:
        """End all containers."""
        running = [each.service for each in self._containers.values() if each.service is not None]
        for leaving in list(self._leaving):
            self._left(leaving)
            running.append(leaving.service)
        for container in self._containers.values():
            container.log.end()
        self._containers.clear()
        return gatherResults([each.stop() for each in running]).addCallback(lambda _: None)

    # Statuses.

    def status(self, pod: Object) -> dict[str, Any]:
        """The status of a Pod whose container was offered to run."""
        container, before = self._container(pod), pod.get("status") or {}
        runs = container.service is not None
        state: dict[str, Any]
        if runs:
            state = {"running": {"startedAt": container.since}}
        elif container.next_start == float("inf"):
            state = {"terminated": container.last_end}
        else:
            state = {"waiting": {"reason": container.reason, "message": container.message}}
        phase = "Running" if runs or container.reason == CRASHED else "Pending"
        return {
            "phase": "Failed" if "terminated" in state else phase,
            "hostIP": "127.0.0.1",
            "podIP": container.address,
            "podIPs": [{"ip": container.address}],
            "qosClass": "BestEffort",
            "startTime": before.get("startTime") or self._timestamp(),
            "conditions": [
                condition(name, name in ("Initialized", "PodScheduled") or runs, before, self._timestamp())
                for name in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {
                    "name": str(each.get("name", "")),
                    "image": str(each.get("image", "")),
                    "imageID": "",
                    "ready": runs,
                    "started": runs,
                    "restartCount": max(0, container.starts - 1),
                    "state": state,
                    "lastState": {"terminated": container.last_end} if container.last_end and container.starts else {},
                }
                for each in containers_of(pod)
            ],
        }


def condition(name: str, holds: bool, before: Mapping[str, Any], now: str, **more: str) -> dict[str, Any]:
    """A condition, with the time of its last transition."""
    status = "True" if holds else "False"
    known = next((each for each in before.get("conditions") or () if each["type"] == name), None)
    since = known["lastTransitionTime"] if known is not None and known["status"] == status else now
    return {"type": name, "status": status, "lastTransitionTime": since, **more}
