"""
The status of each object that takes part in routing, kept up to date as one compilation follows another.

The problem: a compilation gives the status of ten thousand resources, of which a change touches a few; and what a table
says is true only once all workers serve it.

The approach: an object gets another status only if what compiling says of it has changed, or the object itself has. It
is pending until the workers serve the table, while all other objects keep what they have.

The invariants: an object that nothing has changed never goes back to pending, and its status is not even compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from meshgate.api.collection import Collection
from meshgate.api.conditions import status_of
from meshgate.api.object_events import transitions
from meshgate.api.resource_types import CORE, ResourceType, type_of_kind
from meshgate.api.store_interface import Object
from meshgate.resources.kinds.supported_kinds import ISTIO_GROUP
from meshgate.resources.problem import Phase, Problem
from meshgate.resources.resource import ResourceKey
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.tell.statuses import ResourceStatus

Record = Callable[[Object, str, str, str], None]
"""Records an event of an object: its form, reason and message."""


class StatusWriter:
    """
    Writes the statuses of objects.

    :param timestamp: returns the present time, as Kubernetes writes it.
    :ivar problems: the problems that analysis has found, by their resources.
    """

    def __init__(self, collection: Collection, record: Record, timestamp: Callable[[], str]) -> None:
        self._collection = collection
        self._record = record
        self._timestamp = timestamp
        self._written: dict[ResourceKey, tuple[ResourceStatus, Any]] = {}
        self._pending: dict[ResourceKey, None] = {}
        self._generation = 0
        self._live = 0
        self.problems: Mapping[ResourceKey, Sequence[Problem]] = {}

    def compiled(self, compilation: Compilation) -> None:
        """Write the statuses that a compilation has changed."""
        self._generation = compilation.table.generation
        self.problems = _by_resource(compilation.problems)
        statuses = compilation.statuses
        for key, found in statuses.items():
            type_ = _type_of(key.kind)
            object_ = self._collection.find(type_, (key.namespace, key.name)) if type_ is not None else None
            if object_ is None:
                continue
            generation = object_["metadata"]["generation"]
            if self._written.get(key) != (found, generation) or "status" not in object_:
                self._written[key] = (found, generation)
                self._write(key)
                if self._live < self._generation:
                    self._pending[key] = None
        for key in [key for key in self._written if key not in statuses]:
            del self._written[key]
            self._pending.pop(key, None)

    def live(self, generation: int) -> None:
        """Write the statuses that waited for the workers to serve a generation."""
        self._live = generation
        if generation >= self._generation:
            pending, self._pending = self._pending, {}
            for key in pending:
                self._write(key)

    def _write(self, key: ResourceKey) -> None:
        type_ = _type_of(key.kind)
        if type_ is None:
            return
        where = (key.namespace, key.name)
        before = self._collection.set_status(type_, where, partial(self._status_of, key))
        if before is not None:
            after = self._collection.get(type_, *where)
            for form, reason, message in transitions(before.get("status"), after["status"]):
                self._record(after, form, reason, message)

    def _status_of(self, key: ResourceKey, object_: Object) -> Mapping[str, Any]:
        codes = [problem.code for problem in self.problems.get(key, ())]
        found, generation = self._written[key]
        live = self._live >= self._generation
        return status_of(found, codes, live, generation, object_.get("status"), self._timestamp())


def _by_resource(problems: Iterable[Problem]) -> Mapping[ResourceKey, Sequence[Problem]]:
    """The problems of analysis by their resources."""
    found: dict[ResourceKey, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.phase is Phase.ANALYSIS and problem.name:
            found[ResourceKey(problem.kind, problem.namespace, problem.name)].append(problem)
    return found


def _type_of(kind: str) -> ResourceType | None:
    return type_of_kind(ISTIO_GROUP, kind) or type_of_kind(CORE, kind)
