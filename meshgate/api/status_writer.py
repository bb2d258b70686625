"""
The status of each object that takes part in routing, kept up to date as one compilation follows another.

The problem: a compilation gives the status of ten thousand resources, of which a change touches a few; what a table
says is true only once all workers serve it; and objects change while their states of before are compiled.

The approach: an object gets another status only if the result of compiling it is another one. It is pending until the
workers serve the table if it was not programmed before, or its content has changed.

The invariants: an object that nothing has changed never goes back to pending, and its status is not even compared; the
status says the generation of the object that was compiled, whatever the object has become since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from meshgate.api.collection import Collection
from meshgate.api.conditions import NO_STATE, CompiledObject, Failures, overruled_status, status_of
from meshgate.api.object_events import transitions
from meshgate.api.resource_types import CORE, ResourceType, type_of_kind
from meshgate.api.store_interface import Object, value_at
from meshgate.resources.kinds.supported_kinds import ISTIO_GROUP
from meshgate.resources.problem import Problem
from meshgate.resources.resource import ResourceKey
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.table import RoutingTable
from meshgate.routing.tell.statuses import FAULTLESS, Attachments, ResourceStatus

Record = Callable[[Object, str, str, str], None]
"""Records an event of an object: its form, reason and message."""

_NOTHING: Final[Mapping[str, Any]] = {}


class StatusWriter:
    """
    Writes the statuses of objects.

    :param timestamp: returns the present time, as Kubernetes writes it.
    :ivar problems: the problems that were found, by their resources.
    """

    def __init__(self, collection: Collection, record: Record, timestamp: Callable[[], str]) -> None:
        self._collection = collection
        self._record = record
        self._timestamp = timestamp
        self._compiled: dict[ResourceKey, CompiledObject] = {}
        self._attachments = Attachments()
        self._attached: Mapping[str, Mapping[str, Any]] = {
            "Gateway": self._attachments.gateways,
            "VirtualService": self._attachments.virtual_services,
        }
        # The generation of the table for which each waits.
        self._pending: dict[ResourceKey, int] = {}
        self._live = 0
        self._failures: Failures = {}
        self.problems: Mapping[ResourceKey, Sequence[Problem]] = {}

    def compiled(self, compilation: Compilation) -> None:
        """Write the statuses that a compilation has changed."""
        generation, compiled = compilation.table.generation, self._compiled
        workloads = self._workloads(compilation)
        statuses = {**compilation.statuses, **workloads} if workloads else compilation.statuses
        touched = self._take_attachments(compilation.table) | self._take_problems(compilation.problems)
        for key, found in statuses.items():
            old, state = compiled.get(key), compilation.objects.get(key, NO_STATE)
            if old is not None and old.found is found and old.state == state and key not in touched:
                continue
            attachments = self._attached.get(key.kind, _NOTHING).get(f"{key.namespace}/{key.name}", ())
            new = compiled[key] = CompiledObject(found, state, self.problems.get(key, ()), attachments)
            if new == old:
                continue
            settled = old is not None and old.found.programmed and old.state == state
            if self._live < generation and not settled:
                self._pending[key] = generation
            self._write(key)
        if len(compiled) > len(statuses):
            for key in compiled.keys() - statuses.keys():
                del compiled[key]
                self._pending.pop(key, None)

    def live(self, generation: int) -> None:
        """Write the statuses that waited for the workers to serve a generation."""
        self._live = generation
        for key in [key for key, wanted in self._pending.items() if wanted <= generation]:
            del self._pending[key]
            self._write(key)

    def ports_failed(self, failures: Failures) -> None:
        """Take the listeners that could not be opened, all of them."""
        before, self._failures = self._failures, failures
        changed = {key for key in {**before, **failures} if before.get(key) != failures.get(key)}
        if changed:
            for key, compiled in self._compiled.items():
                if compiled.attachments and not changed.isdisjoint(compiled.listeners()):
                    self._write(key)

    def renew(self, key: ResourceKey) -> None:
        """Write the status of an object that is compiled by nobody, or is shown in the place of another one."""
        self._write(key)

    def _workloads(self, compilation: Compilation) -> dict[ResourceKey, ResourceStatus]:
        """The statuses of WorkloadEntries: each is programmed if routes lead to its address."""
        keys = [key for key in compilation.objects if key.kind == "WorkloadEntry" and key not in compilation.statuses]
        type_ = _type_of("WorkloadEntry")
        if not keys or type_ is None:
            return {}
        destinations = compilation.table.destinations()
        addresses = {endpoint.address for destination in destinations for endpoint in destination.endpoints}
        found = ((key, self._collection.find(type_, (key.namespace, key.name))) for key in keys)
        return {key: FAULTLESS[value_at(each, ("spec", "address")) in addresses] for key, each in found}

    def _take_attachments(self, table: RoutingTable) -> set[ResourceKey]:
        """Take the attachments of a table; return the resources whose own have changed."""
        gateways, virtual_services = self._attachments.update(table)
        changed = [*(("Gateway", name) for name in gateways), *(("VirtualService", name) for name in virtual_services)]
        return {ResourceKey(kind, *name.split("/", 1)) for kind, name in changed}

    def _take_problems(self, problems: Iterable[Problem]) -> set[ResourceKey]:
        """Take the problems; return the resources whose own have changed."""
        before, self.problems = self.problems, _by_resource(problems)
        return {key for key in {**before, **self.problems} if before.get(key) != self.problems.get(key)}

    def _write(self, key: ResourceKey) -> None:
        type_ = _type_of(key.kind)
        if type_ is None:
            return
        where = (key.namespace, key.name)
        before = self._collection.set_status(type_, where, partial(self._status_of, type_, key))
        if before is not None:
            after = self._collection.get(type_, *where)
            for form, reason, message in transitions(before.get("status"), after["status"]):
                self._record(after, form, reason, message)

    def _status_of(self, type_: ResourceType, key: ResourceKey, object_: Object) -> Mapping[str, Any] | None:
        origin = self._collection.overruled_by(type_, (key.namespace, key.name))
        if origin:
            return overruled_status(object_, origin, self._timestamp())
        compiled = self._compiled.get(key)
        if compiled is None or compiled.state[0] != object_["metadata"]["uid"]:
            # What was compiled is another object of that name; the next compilation is of this one.
            return object_.get("status")
        return status_of(compiled, object_, key not in self._pending, self._failures, self._timestamp())


def _by_resource(problems: Iterable[Problem]) -> Mapping[ResourceKey, Sequence[Problem]]:
    """The problems by their resources."""
    found: dict[ResourceKey, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.name:
            found[ResourceKey(problem.kind, problem.namespace, problem.name)].append(problem)
    return found


def _type_of(kind: str) -> ResourceType | None:
    return type_of_kind(ISTIO_GROUP, kind) or type_of_kind(CORE, kind)
