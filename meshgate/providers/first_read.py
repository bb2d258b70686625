"""
The ages of resources that say none: each counts as created when this gateway first read it.

The problem: of two Gateways that want one port, the older wins. A file need not say when its resource was created, and
a client of the API may create another one at any time, which must never take the port of one that serves.

The approach: the time at which a resource was first seen is kept by its kind, namespace and name, in a file too, so
that neither a restart nor another file or provider of the resource changes anything. It is kept while the resource is
away as well: a file that is moved, or replaced by one that is written anew, is away for a moment.

The invariants: resources of files keep their order among themselves, since those read together have one age; a resource
that is read is younger than all that were applied before, and older than all that are applied after, within one second
too (of the same age, the one that was read is older).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

from meshgate.resources.resource import Resource

FILE_NAME: Final = "first_read.json"

MOST_AWAY: Final = 10_000
"""The number of resources that are away whose times are kept; those that went first are forgotten first."""


class FirstRead:
    """
    The times at which resources were first read.

    :param path: the file of the times.
    :param wall_clock: returns seconds since the epoch.
    """

    _log = Logger()

    def __init__(self, path: Path, wall_clock: Callable[[], float]) -> None:
        self._path = path
        self._wall_clock = wall_clock
        # Those that are away come first, in the order in which they went.
        self._times: dict[str, float] = self._read()
        # By id(), which stays theirs as long as they are kept here.
        self._dated: dict[int, tuple[Resource[Any], Resource[Any], str]] = {}

    def dated(self, resources: Collection[Resource[Any]]) -> tuple[Resource[Any], ...]:
        """The same resources, each with an age. A resource that is the same object gives the same object again."""
        before = self._times
        now = 0.0
        times: dict[str, float] = {}
        dated: dict[int, tuple[Resource[Any], Resource[Any], str]] = {}
        result = []
        for resource in resources:
            if resource.created is not None:
                result.append(resource)
                continue
            known = self._dated.get(id(resource))
            name = known[2] if known is not None else str(resource.key)
            if name not in before and not now:
                now = self._after_applied(resources)
            time = times[name] = before.get(name, now)
            if known is None or known[1].first_read != time:
                known = (resource, replace(resource, first_read=time), name)
            dated[id(resource)] = known
            result.append(known[1])
        away = [name for name in before if name not in times]
        kept = {name: before[name] for name in islice(away, max(0, len(away) - MOST_AWAY), None)}
        self._dated, self._times = dated, {**kept, **times}
        if self._times != before:
            self._write()
        return tuple(result)

    def _after_applied(self, resources: Collection[Resource[Any]]) -> float:
        """The present second, or the one after the last in which a client of the API has created a resource."""
        applied = (each.created for each in resources if each.origin.is_applied and each.created is not None)
        return max(int(self._wall_clock()), *(int(each.timestamp()) + 1 for each in applied), 0)

    def _read(self) -> dict[str, float]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(name): float(time) for name, time in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            self._log.warn(
                "{file} cannot be read, so the resources of files count as new: {error}", file=self._path, error=error
            )
            return {}

    def _write(self) -> None:
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            fresh.write_text(json.dumps(self._times), encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            self._log.warn(
                "{file} cannot be written, so after a restart the resources of files count as new: {error}",
                file=self._path,
                error=error.strerror,
            )
