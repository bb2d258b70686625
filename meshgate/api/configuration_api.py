"""
The configuration API as the control process runs it: the store, the collection, the HTTP server and the routes.

The objects of the store are the resources of a provider named ``api``; the resources of all other providers are shown
beside them, and cannot be changed here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from collections.abc import Collection as Sized
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from meshgate.api.answering import Answering
from meshgate.api.api_port import ApiPort
from meshgate.api.collection import Collection
from meshgate.api.conditions import overruled
from meshgate.api.history_answer import MOST_CHANGES
from meshgate.api.object_events import EventRecorder
from meshgate.api.object_validation import MOST_WARNINGS, reading_of, reads_the_same, sentence
from meshgate.api.objects import key_of, timestamp
from meshgate.api.pod_log import PodLog
from meshgate.api.pods.images import find_images
from meshgate.api.pods.pod_controller import ENDPOINTS, SERVICES, WATCHED, PodController
from meshgate.api.pods.pod_objects import node
from meshgate.api.presentation import now_of
from meshgate.api.resource_types import DEFINITIONS, NODES, ResourceType
from meshgate.api.schemas import kind_definitions
from meshgate.api.sqlite_store import FILE_NAME, SqliteStore
from meshgate.api.status_writer import StatusWriter
from meshgate.api.store_interface import Object, StoreError
from meshgate.api.unstored_objects import ForeignResources, GatewayPort, gateway_service, gateway_service_status
from meshgate.api.web import ApiSite
from meshgate.processes.launch import StartError
from meshgate.providers.interfaces import ISnapshotSink
from meshgate.providers.snapshot import Snapshot
from meshgate.resources.problem import Phase, Severity
from meshgate.resources.reader import DocumentReading
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.addresses import host_port
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.table import ListenerKey
from meshgate.settings.service_sections import ApiSettings
from meshgate.state.folder import API_FOLDER

ANALYZED_WITHIN: Final = 2.0
"""Seconds that the answer to a write waits for the problems of its routes."""

NOT_YET: Final = frozenset({"MG2008", "MG2022"})
"""The problems of an object whose counterpart is usually applied next: a Gateway before its routes, for instance."""


class ConfigurationApi:
    """
    The API.

    :param sink: gets the routes of the store's objects.
    :param ready: returns True once workers serve the routes.
    :param listen: opens the port, as IReactorTCP.listenTCP does; None for that of the reactor.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        sink: ISnapshotSink,
        ready: Callable[[], bool],
        listen: Callable[..., IListeningPort] | None = None,
    ) -> None:
        self._reactor = reactor
        self._listen = listen
        self._sink = sink
        self._ready = ready
        self._store: SqliteStore | None = None
        self._collection: Collection | None = None
        self._site: ApiSite | None = None
        self._port: ApiPort | None = None
        self._readings: dict[tuple[str, str, str], tuple[Object, DocumentReading]] = {}
        self._waiting: list[tuple[ResourceKey, tuple[str, int], Deferred[None]]] = []
        self._pods: PodController | None = None
        self._foreign: ForeignResources | None = None
        self._statuses: StatusWriter | None = None
        self._snapshot: Snapshot | None = None
        self._gateway_service = (("", ""), "")
        self._objects: Mapping[ResourceKey, tuple[str, int]] = {}

    def start(self, settings: ApiSettings, state_dir: Path, default_namespace: str, gateway_namespace: str) -> None:
        """
        Open the store, publish its routes, and listen.

        :param default_namespace: the namespace of commands that name none.
        :param gateway_namespace: the namespace of the gateway and its Service.
        :raises StartError: if the store, the folder or the port cannot be used.
        """
        folder, names = state_dir / API_FOLDER, (default_namespace, gateway_namespace, *settings.namespaces)
        randomness = random.SystemRandom()
        try:
            port = ApiPort(self._reactor, settings, state_dir, default_namespace, _utc_now)
            self._store = SqliteStore(folder / FILE_NAME, self._reactor)
            self._collection = Collection(self._store, self._changed, time.time, randomness)
            self._collection.open(names)
            now = _timestamp_now()
            ports = [GatewayPort(each.name, each.port, each.node_port) for each in settings.service_ports]
            service = gateway_service(gateway_namespace, ports, self._collection.revision, now)
            self._collection.give(SERVICES, service)
            for definition in kind_definitions(self._collection.revision, now):
                self._collection.give(DEFINITIONS, definition)
            self._gateway_service = key_of(service), service["metadata"]["uid"]
            self._foreign = ForeignResources(self._collection)
            record = EventRecorder(self._collection, time.time).record
            self._statuses = StatusWriter(self._collection, record, _timestamp_now)
            if settings.pods:
                self._pods = PodController(self._collection, find_images(), record, self._reactor, _timestamp_now)
                self._collection.give(NODES, node(now))
                done = Deferred.fromCoroutine(self._begin_pods(self._pods, self._collection))
                done.addErrback(lambda failure: self._log.failure("the lab's pods could not be started", failure))
            answering = Answering(self._collection, self._ready, self._analyzed, self._log_of, time.time, randomness)
            self._site = ApiSite(answering, port.access, self._reactor)
            port.listen(self._site, self._listen)
            self._port = port
        except StoreError as error:
            raise StartError(str(error)) from None
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            address = host_port(settings.bind, settings.port)
            raise StartError(f"the API's port {address} cannot be bound: {reason}") from None
        except OSError as error:
            raise StartError(f"the API's folder {folder} cannot be used: {error.strerror or error}") from None
        self._publish()

    async def stop(self) -> None:
        """End all watches, free the port, and finish all writes."""
        if self._site is not None:
            self._site.end_watches()
        if self._port is not None:
            await self._port.stop()
        if self._pods is not None:
            await self._pods.stop()
        if self._store is not None:
            await self._store.close()
        if self._site is not None:
            self._site.end_connections()
        self._store = self._collection = self._site = self._port = self._pods = None
        self._foreign = self._statuses = None

    @property
    def runs_pods(self) -> bool:
        """True if the lab's pods listen on ports of this process."""
        return self._pods is not None and self._pods.listens

    def refuse_writes(self) -> None:
        """Refuse writes from now on, until :meth:`thaw`."""
        if self._collection is not None:
            self._collection.frozen = "nothing is written while the gateway is upgraded; try again in a moment"

    async def freeze(self) -> None:
        """Refuse writes from now on, and finish those that have begun."""
        self.refuse_writes()
        if self._store is not None:
            await self._store.settled()

    def thaw(self) -> None:
        """Take writes again."""
        if self._collection is not None:
            self._collection.frozen = ""

    def answers(self) -> Mapping[int, int]:
        """The number of answers by their HTTP status."""
        return self._site.answers if self._site is not None else {}

    def show_resources(self, resources: tuple[Resource[Any], ...]) -> tuple[Resource[Any], ...]:
        """
        Show the resources of other providers beside the API's own objects.

        :param resources: of all providers.
        :return: the same, with the identities and generations of their objects.
        """
        if self._foreign is None:
            return resources
        shown = self._foreign.show(resources)
        if self._foreign.changed and self._pods is not None:
            self._pods.look()
        return shown

    async def _begin_pods(self, pods: PodController, collection: Collection) -> None:
        """Start the lab's pods, once the earlier templates of their Deployments are known."""
        try:
            pods.recall(await collection.history(MOST_CHANGES))
        finally:
            pods.look(0)

    def _log_of(self, namespace: str, name: str) -> PodLog | None:
        return self._pods.log_of(namespace, name) if self._pods is not None else None

    def _changed(self, type_: ResourceType) -> None:
        if type_.reads is not None:
            self._publish()
        if self._pods is not None and type_ in WATCHED:
            self._pods.look()

    # The results of compiling.

    def compiled(self, compilation: Compilation) -> None:
        """Take the result of compiling."""
        self._objects = compilation.objects
        if self._statuses is not None:
            self._statuses.compiled(compilation)
        waiting, self._waiting = self._waiting, []
        for key, (uid, generation), done in waiting:
            compiled = self._objects.get(key)
            if compiled is not None and compiled[0] == uid and compiled[1] >= generation:
                done.callback(None)
            else:
                self._waiting.append((key, (uid, generation), done))

    def ports_changed(self, listening: Sized[ListenerKey], failures: Mapping[ListenerKey, str]) -> None:
        """
        Take the state of the ports.

        :param listening: the listeners that are open.
        :param failures: the reasons of those that could not be opened.
        """
        if self._statuses is not None and self._collection is not None:
            self._statuses.ports_failed(failures)
            key, uid = self._gateway_service

            def status(service: Object) -> Mapping[str, Any] | None:
                ours = service["metadata"]["uid"] == uid
                return gateway_service_status(service, listening, failures, _timestamp_now()) if ours else None

            self._collection.set_status(SERVICES, key, status)

    def live(self, generation: int) -> None:
        """Take the generation that all workers serve."""
        if self._statuses is not None:
            self._statuses.live(generation)

    async def _analyzed(self, type_: ResourceType, key: tuple[str, str]) -> tuple[str, ...]:
        """Sentences on an object that was just written: the problems that its analysis has found."""
        object_ = self._collection.find(type_, key) if self._collection is not None else None
        if self._collection is None or object_ is None or type_.reads is None:
            return ()
        if origin := self._collection.overruled_by(type_, key):
            return (overruled(origin),)
        name = ResourceKey(type_.kind, *key)
        wanted = (object_["metadata"]["uid"], object_["metadata"]["generation"])
        if self._objects.get(name) != wanted:
            done: Deferred[None] = Deferred()
            waiting = (name, wanted, done)
            self._waiting.append(waiting)
            done.addTimeout(ANALYZED_WITHIN, self._reactor)
            try:
                await done
            except defer.TimeoutError:
                self._waiting.remove(waiting)
                return ()
        problems = self._statuses.problems.get(name, ()) if self._statuses is not None else ()
        told = (each for each in problems if each.severity is not Severity.INFO and each.code not in NOT_YET)
        return tuple(sentence(each) for each in told if each.phase is Phase.ANALYSIS)[:MOST_WARNINGS]

    def _publish(self) -> None:
        """Publish the routes of the store's objects. An object that has not changed is not read again."""
        if self._collection is None:
            return
        readings, before = {}, self._readings
        uncompiled = []
        for type_, where, object_ in self._collection.own_objects():
            if type_.reads is None or (type_ is ENDPOINTS and self._collection.is_made(type_, object_)):
                continue  # Endpoints that are made say the same as EndpointSlices
            key = (type_.qualified_name, *where)
            known = before.get(key)
            if known is None or not reads_the_same(known[0], object_):
                known = (object_, reading_of(type_, object_))
                if self._collection.overruled_by(type_, where):
                    uncompiled.append(ResourceKey(type_.kind, *where))
            # The object of this moment, of which the next comparison sees at once that it is the same.
            readings[key] = (object_, known[1])
        self._readings = readings
        # What was hidden behind an object that is gone is shown now.
        gone = ((before[key][0]["kind"], key) for key in before.keys() - readings.keys())
        uncompiled += [ResourceKey(kind, namespace, name) for kind, (_, namespace, name) in gone]
        if self._statuses is not None:
            for resource in uncompiled:
                self._statuses.renew(resource)
        found = [reading for _, reading in readings.values()]
        snapshot = Snapshot(
            tuple(each.resource for each in found if each.resource is not None),
            tuple(problem for each in found for problem in each.problems),
            tuple(each.refused for each in found if each.refused is not None),
        )
        if snapshot != self._snapshot:
            self._snapshot = snapshot
            self._sink.publish(snapshot)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _timestamp_now() -> str:
    return timestamp(now_of(time.time()))
