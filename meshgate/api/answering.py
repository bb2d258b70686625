"""
The answers of the API: which request does what to the collection of objects.

:meth:`Answering.answer` maps a method and an address to one function each; everything that is wrong with a request is
raised as a :class:`RefusedError`. A watch is answered by a :class:`Watch`, which whoever speaks HTTP keeps sending.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from meshgate.api.access import READS, check_access
from meshgate.api.collection import Collection, WriteOptions, Written
from meshgate.api.deletion import delete, delete_namespace, finish_owners
from meshgate.api.fixed_answers import answered_review, discovered, openapi_answer, version_document
from meshgate.api.history_answer import history_answer
from meshgate.api.managed_fields import applied
from meshgate.api.objects import checked, in_version, key_of, timestamp, too_new, too_old
from meshgate.api.pod_log import LogOptions, PodLog, log_options
from meshgate.api.presentation import Presentation, now_of
from meshgate.api.refusal import RefusedError, bad_request, details_of
from meshgate.api.request_options import (
    APPLY_PATCHES,
    check_duplicates,
    check_size,
    continued,
    delete_options,
    deletion_policy,
    duplicates,
    patch_of,
    selector,
    write_options,
)
from meshgate.api.requests import Answer, ApiRequest
from meshgate.api.resource_types import CORE, NAMESPACES, ResourceType
from meshgate.api.store_interface import Object, value_at
from meshgate.api.target import Target, is_refused, refusal, scale_of, scaled, target_of
from meshgate.api.watch_window import ADDED, Watcher, WatchEvent

LONGEST_WATCH: Final = 3600
"""Seconds after which a watch ends; clients begin a new one."""

SHORTEST_WATCH: Final = 1800
"""Seconds that a watch lasts at least if the client names no time. They differ, so that clients come back in turn."""

RETURNED: Final = ("Pod", "Service", "ServiceAccount")
"""The core kinds of which Kubernetes answers a delete with the object; typed clients read nothing else."""

PAGE: Final = 5_000
"""The largest number of objects in an answer; a client that asks for more gets the rest with ``continue``."""

TEXT: Final = {"content-type": "text/plain"}

Analyzed = Callable[[ResourceType, tuple[str, str]], Awaitable[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Watch:
    """
    A watch that goes on. Whoever speaks HTTP takes its events as fast as the client reads them.

    :ivar watcher: takes its changes; its ``wake`` is still to be set.
    :ivar first: the events before those of the watcher, as JSON objects.
    :ivar seconds: the time after which it ends.
    :ivar bookmarks: True if the client wants to hear of the revision now and then.
    :ivar encode: makes a JSON object of an event.
    :ivar bookmark: makes a bookmark of the present revision, for a client that has got all events.
    """

    watcher: Watcher
    first: Iterator[dict[str, Any]]
    seconds: float
    bookmarks: bool
    encode: Callable[[WatchEvent], dict[str, Any]]
    bookmark: Callable[[], dict[str, Any]]

    def next_event(self) -> dict[str, Any] | None:
        """
        The next event as a JSON object; None if there is none yet.

        :raises RefusedError: if the client was so slow that it is forgotten.
        """
        for event in self.first:
            return event
        found = self.watcher.next_event()
        return None if found is None else self.encode(found)


@dataclass(frozen=True, slots=True)
class LogFollowing:
    """
    A log that goes on.

    :ivar first: the lines that there are, encoded.
    """

    log: PodLog
    options: LogOptions
    first: bytes


class Answering:
    """
    The API without HTTP.

    :param ready: returns True once the gateway serves.
    :param analyzed: gives sentences on an object that was just written, once its routes are compiled.
    :param log_of: gives the log of a Pod, by its namespace and name.
    :param wall_clock: returns seconds since the epoch.
    :param randomness: spreads the ends of watches.
    """

    def __init__(
        self,
        collection: Collection,
        ready: Callable[[], bool],
        analyzed: Analyzed,
        log_of: Callable[[str, str], PodLog | None],
        wall_clock: Callable[[], float],
        randomness: random.Random,
    ) -> None:
        self._collection = collection
        self._ready = ready
        self._analyzed = analyzed
        self._log_of = log_of
        self._wall_clock = wall_clock
        self._randomness = randomness

    async def answer(self, request: ApiRequest, address: str) -> Answer | Watch | LogFollowing:
        """
        Answer a request.

        :param address: host and port of the API, as the client reaches it.
        :raises RefusedError: if it is refused.
        """
        path = request.path
        if path[:1] == ("openapi",):
            return openapi_answer(request)
        if path[:1] in (("livez",), ("readyz",), ("healthz",)) and len(path) == 1:
            return self._health(request)
        request.check_accept()
        if path == ("history",) and request.method in READS:
            return await history_answer(request, self._collection)
        if path == ("version",):
            return Answer(version_document())
        if len(path) <= 3 and request.method in READS and (found := discovered(request, address)) is not None:
            return Answer(*found)
        if (review := answered_review(request)) is not None:
            return Answer(review, 201)
        return await self._objects(request, target_of(path))

    def _health(self, request: ApiRequest) -> Answer:
        if request.path == ("readyz",) and not self._ready():
            return Answer(b"not ready: no worker serves the routes yet\n", 503, TEXT)
        return Answer(b"ok", 200, TEXT)

    async def _objects(self, request: ApiRequest, target: Target) -> Answer | Watch | LogFollowing:
        type_, key = target.type, (target.namespace, target.name)
        if is_refused(type_, target.subresource):
            raise refusal(type_, target.subresource, target.name, self._collection.find(type_, key))
        check_access(request, target)
        if request.method in READS:
            if not target.name:
                if request.flag("watch"):
                    return self._watch(request, target)
                return self._list(request, target)
            found = self._collection.get(target.type, target.namespace, target.name)
            if target.subresource == "log":
                return self._log(request, found)
            if target.subresource == "scale":
                return Answer(scale_of(found))
            return Answer(self._shown(request, target, found))
        if target.subresource == "scale" and request.method in ("PUT", "PATCH"):
            return await self._scale(request, target)
        if target.subresource:
            raise RefusedError(405, "the gateway itself writes the status", type=target.type, name=target.name)
        options = write_options(request)
        check_duplicates(request, options)
        if request.method == "POST" and not target.name:
            body = checked(target.type, target.version, target.namespace, request.object())
            return await self._written(request, target, await self._collection.create(target.type, body, options), 201)
        if request.method == "PUT" and target.name:
            return await self._replace(request, target, options)
        if request.method == "PATCH" and target.name and request.content_type in APPLY_PATCHES:
            return await self._apply(request, target, options)
        if request.method == "PATCH" and target.name:
            return await self._patch(request, target, options)
        if request.method == "DELETE":
            return await self._delete(request, target, options)
        raise RefusedError(405, f"{request.method} is not possible here")

    # Reading.

    def _list(self, request: ApiRequest, target: Target) -> Answer:
        self._check_revision(request, target)
        revision, after = continued(request.query.get("continue", ""), self._collection.revision)
        if revision < self._collection.window(target.type).forgotten:
            raise too_old("the provided continue parameter is too old; list again")
        found = self._collection.list(target.type, target.namespace, selector(request, target.type))
        if request.query.get("origin") == "store":
            found = [each for each in found if self._collection.is_stored(target.type, key_of(each))]
        if after:
            found = [each for each in found if list(key_of(each)) > after]
        limit = min(request.number("limit") or PAGE, PAGE)
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if len(found) > limit:
            last = list(key_of(found[limit - 1]))
            token = json.dumps({"revision": revision, "after": last}).encode()
            metadata["continue"] = base64.urlsafe_b64encode(token).decode()
            metadata["remainingItemCount"] = len(found) - limit
        return Answer(Presentation(request, target, self._now).list(found[:limit], metadata))

    def _check_revision(self, request: ApiRequest, target: Target) -> None:
        """
        Check that a list can be of the revision that the client asks for: objects are kept as they are now alone.

        :raises RefusedError: if that is not there yet, or there have been changes since.
        """
        revision, match = request.number("resourceVersion"), request.query.get("resourceVersionMatch", "")
        if match not in ("", "Exact", "NotOlderThan") or (match and not request.query.get("resourceVersion")):
            raise bad_request("resourceVersionMatch has to be Exact or NotOlderThan, and goes with a resourceVersion")
        if revision > self._collection.revision:
            raise too_new(revision, self._collection.revision)
        window = self._collection.window(target.type)
        if match == "Exact" and window.after(revision) != window.end:
            raise too_old(f"the resource version {revision} is gone: there are later changes")

    def _shown(self, request: ApiRequest, target: Target, object_: Object) -> Any:
        return Presentation(request, target, self._now).object(object_)

    def _log(self, request: ApiRequest, pod: Object) -> Answer | LogFollowing:
        options, log = log_options(request, self._now()), self._log_of(*key_of(pod))
        name, container = pod["metadata"]["name"], request.query.get("container", "")
        if log is None:
            return Answer(b"", 200, TEXT)
        if container not in ("", log.container):
            raise bad_request(f"container {container[:60]} is not valid for pod {name}: it has {log.container}")
        if options.previous and log.previous is None:
            raise bad_request(f'previous terminated container "{log.container}" in pod "{name}" not found')
        found = options.selected(log.previous if options.previous and log.previous is not None else log.lines)
        if options.follow and not options.previous:
            return LogFollowing(log, options, found)
        return Answer(found, 200, TEXT)

    def _watch(self, request: ApiRequest, target: Target) -> Watch:
        selects, window = selector(request, target.type), self._collection.window(target.type)
        shown = Presentation(request, target, self._now)
        since, initial = request.query.get("resourceVersion", ""), request.flag("sendInitialEvents")
        revision = request.number("resourceVersion")
        if revision > self._collection.revision:
            raise too_old(f"the resource version {revision} is too large: the last one is {self._collection.revision}")
        if initial or since in ("", "0"):
            found, position = self._collection.list(target.type, target.namespace, selects), window.end
        else:
            found, position = [], window.after(revision)

        def bookmark(annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
            return shown.bookmark(self._collection.revision, annotations)

        def encode(event: WatchEvent) -> dict[str, Any]:
            return shown.event(event.type, event.object)

        first: Iterator[dict[str, Any]] = (shown.event(ADDED, each) for each in found)
        if initial:
            # Of this moment: the client gets what changes while it reads after the bookmark.
            first = chain(first, [bookmark({"k8s.io/initial-events-end": "true"})])
        longest = self._randomness.uniform(SHORTEST_WATCH, LONGEST_WATCH)
        seconds = min(request.number("timeoutSeconds") or longest, LONGEST_WATCH)
        watcher = Watcher(window, position, target.namespace, selects)
        return Watch(watcher, first, seconds, request.flag("allowWatchBookmarks"), encode, bookmark)

    # Writing.

    async def _replace(self, request: ApiRequest, target: Target, options: WriteOptions) -> Answer:
        body = checked(target.type, target.version, target.namespace, request.object(), target.name)
        key = (target.namespace, target.name)
        written = await self._collection.update(target.type, key, lambda before: body, options)
        return await self._written(request, target, written)

    async def _patch(self, request: ApiRequest, target: Target, options: WriteOptions) -> Answer:
        apply = patch_of(request, strategic=not target.type.group.endswith("istio.io"))
        patch = request.json()

        def make(before: Object) -> Mapping[str, Any]:
            shown = in_version(before, target.type, target.version)
            after = checked(target.type, target.version, target.namespace, apply(shown, patch), target.name)
            check_size(after)
            return after

        key = (target.namespace, target.name)
        written = await self._collection.update(target.type, key, make, options)
        return await self._written(request, target, written)

    async def _apply(self, request: ApiRequest, target: Target, options: WriteOptions) -> Answer:
        """Apply on the server's side: create the object, or merge the fields that the manager wants."""
        manager, force, now = request.query.get("fieldManager", ""), request.flag("force"), timestamp(self._now())
        if not manager:
            raise bad_request("PatchOptions.meta.k8s.io is invalid: fieldManager: is required for apply patch")
        wanted = checked(target.type, target.version, target.namespace, request.yaml(), target.name)
        if value_at(wanted, ("metadata", "managedFields")):
            raise bad_request("metadata.managedFields must be nil")
        key = (target.namespace, target.name)
        if self._collection.find(target.type, key) is None:
            body = applied(target.type, None, wanted, manager, force, now)
            return await self._written(request, target, await self._collection.create(target.type, body, options), 201)

        def make(before: Object) -> Mapping[str, Any]:
            after = applied(target.type, before, wanted, manager, force, now)
            check_size(after)
            return after

        written = await self._collection.update(target.type, key, make, options, applies=True)
        return await self._written(request, target, written)

    async def _written(self, request: ApiRequest, target: Target, written: Written, code: int = 200) -> Answer:
        """The answer to a write, with what Istio would keep silent as warnings."""
        warnings = (*duplicates(request), *written.warnings)
        if written.object["metadata"].get("deletionTimestamp"):
            await finish_owners(self._collection, target.type, written.object, write_options(request))
        # A write that changes nothing is told the same: who applies again hears of what is still wrong.
        if not write_options(request).dry_run:
            warnings += await self._analyzed(target.type, key_of(written.object))
        return Answer(self._shown(request, target, written.object), code, warnings=warnings)

    async def _scale(self, request: ApiRequest, target: Target) -> Answer:
        body = request.json()
        apply = patch_of(request, strategic=True) if request.method == "PATCH" else lambda before, body: body

        def make(before: Object) -> Mapping[str, Any]:
            return scaled(before, apply(scale_of(before), body))

        key = (target.namespace, target.name)
        written = await self._collection.update(target.type, key, make, write_options(request))
        return Answer(scale_of(written.object))

    async def _delete(self, request: ApiRequest, target: Target, options: WriteOptions) -> Answer:
        body = delete_options(request)
        if body.get("dryRun"):
            options = replace(options, dry_run=True)
        if target.name:
            key = (target.namespace, target.name)
            preconditions, policy = body.get("preconditions"), deletion_policy(request, body)
            if target.type is NAMESPACES:
                written = await delete_namespace(self._collection, target.name, preconditions, options)
            else:
                written = await delete(self._collection, target.type, key, preconditions, options, policy)
            return Answer(_deleted(target.type, written.object))
        found = self._collection.list(target.type, target.namespace, selector(request, target.type))
        for each in found:
            preconditions, policy = body.get("preconditions"), deletion_policy(request, body)
            if target.type is NAMESPACES:
                await delete_namespace(self._collection, each["metadata"]["name"], preconditions, options)
            else:
                await delete(self._collection, target.type, key_of(each), preconditions, options, policy)
        return Answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})

    def _now(self) -> Any:
        return now_of(self._wall_clock())


def _deleted(type_: ResourceType, object_: Object) -> Any:
    metadata = object_["metadata"]
    if "deletionTimestamp" in metadata or (type_.group == CORE and type_.kind in RETURNED):
        return object_
    details = details_of(type_, metadata["name"], metadata["uid"])
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
