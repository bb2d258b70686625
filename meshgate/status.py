"""
``status.json``: what the running gateway has in force, for ``meshgate status`` and for anything that watches files.

Knows what the document tells, and how it is read together with the figures and the lock of the state folder.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from meshgate.resources.problem import Problem
from meshgate.resources.record import ResourceKey
from meshgate.resources.steps import MANY, batches, fill, let_go
from meshgate.routing.policy_texts import connection_json, upstream_json
from meshgate.routing.statuses import ResourceStatus
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable
from meshgate.state_files import FIGURES_NAME, STATUS_NAME
from meshgate.state_folder import holder, identity_in


@dataclass(frozen=True, slots=True)
class StatusContent:
    """
    What the document tells.

    :ivar failures: the listeners whose port is not open, each with the reason.
    :ivar process: facts of the process: ``pid``, ``boot_id``, ``process_start``, ``version``, ``started``, ``updated``,
        ``running``.
    :ivar statuses: what became of each resource.
    """

    table: RoutingTable
    failures: Mapping[ListenerKey, str]
    problems: Collection[Problem]
    process: Mapping[str, Any]
    statuses: Mapping[ResourceKey, ResourceStatus]


class _Row(NamedTuple):
    """A row of the routes, with what it was made of."""

    chain: Chain
    sniffs: bool
    address: ListenerKey
    text: str


class StatusText:
    """
    Makes the text of the document, one after the other. The rows of routes and resources that are still the same are
    not made again.
    """

    def __init__(self) -> None:
        self._routes: dict[int, _Row] = {}
        self._resources: dict[ResourceKey, tuple[ResourceStatus, str]] = {}
        self._names: dict[ListenerKey, list[str]] = {}

    def in_steps(self, content: StatusContent) -> Generator[None, None, list[str]]:
        """The text in pieces, in steps."""
        listeners = [content.table.listeners[key] for key in sorted(content.table.listeners)]
        head = {**content.process, "generation": content.table.generation}
        pieces = [json.dumps(head)[:-1], ', "listeners": [']
        for batch in batches(listeners):
            pieces.append(", ".join(json.dumps(_listener(each, content)) for each in batch))
            pieces.append(", ")
            yield
        _end(pieces, '], "routes": [')
        yield from self._add_routes(pieces, listeners)
        _end(pieces, '], "endpoints": {')
        endpoints = {str(each): [str(one) for one in each.endpoints] for each in content.table.destinations()}
        yield
        for named in batches(endpoints.items()):
            pieces += (", ".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in named), ", ")
            yield
        _end(pieces, '}, "resources": [')
        yield from self._add_resources(pieces, content.statuses)
        _end(pieces, '], "problems": [')
        for problems in batches(content.problems, 16):
            pieces += (", ".join(json.dumps(each.as_json()) for each in problems), ", ")
            yield
        _end(pieces, "]}\n")
        return pieces

    def _add_routes(self, pieces: list[str], listeners: Iterable[Listener]) -> Iterator[None]:
        rows_of: dict[int, _Row] = {}
        orders: dict[ListenerKey, list[str]] = {}
        for listener in listeners:
            orders[listener.key] = names = yield from _in_order(listener, self._names.get(listener.key, []))
            yield
            for batch in batches(listener.chains(names)):
                rows = []
                for chain in batch:
                    row = self._routes.get(id(chain))
                    if row is None or (row.sniffs, row.address) != (listener.sniffs, listener.address):
                        row = _Row(chain, listener.sniffs, listener.address, json.dumps(_route(listener, chain)))
                    rows_of[id(chain)] = row
                    rows.append(row.text)
                pieces += (", ".join(rows), ", ")
                yield
        before, self._routes, self._names = self._routes, rows_of, orders
        yield from let_go(before)

    def _add_resources(self, pieces: list[str], statuses: Mapping[ResourceKey, ResourceStatus]) -> Iterator[None]:
        for batch in batches(statuses.items()):
            rows = []
            for key, status in batch:
                row = self._resources.get(key)
                if row is None or (row[0] is not status and row[0] != status):
                    row = self._resources[key] = (status, json.dumps({**key._asdict(), **status.as_json()}))
                rows.append(row[1])
            pieces += (", ".join(rows), ", ")
            yield
        if len(self._resources) > len(statuses):
            for key in self._resources.keys() - statuses.keys():
                del self._resources[key]


def _end(pieces: list[str], text: str) -> None:
    """End a list; the comma behind its last element goes."""
    if pieces[-1] == ", ":
        pieces.pop()
    pieces.append(text)


def _in_order(listener: Listener, before: Iterable[str]) -> Generator[None, None, list[str]]:
    """The listener's full names, sorted. What was sorted the time before is hardly any work."""
    names: list[str] = []
    for some in batches(before, MANY):
        names += [name for name in some if name in listener.exact]
        yield
    known: set[str] = set()
    yield from fill(known.update, names)
    for some in batches(listener.exact, MANY):
        names += [name for name in some if name not in known]
        yield
    names.sort()
    return names


def read_status(state_dir: Path) -> dict[str, Any]:
    """
    What the gateway wrote last, with the latest figures, and whether it runs.

    The lock decides whether it runs; where it cannot be asked, the process that wrote the status is looked for. Of a
    gateway that does not run no port is open, whatever was written.

    :return: the document and the figures in one, with ``running``, and under ``process`` what the lock tells of the
        process that holds or last held it.
    :raises FileNotFoundError: no gateway has ever run with this state folder.
    :raises OSError: the status cannot be read.
    :raises ValueError: the file is not a status document.
    """
    lock = holder(state_dir)
    document = _read_document(state_dir / STATUS_NAME, missing_ok=bool(lock.held or lock.facts))
    running = lock.held
    if running is None:
        wrote = identity_in(document)
        running = bool(document.get("running")) and wrote is not None and wrote.lives()
    if running and lock.facts and not _of_one_process(document, lock.facts):
        document = {}  # of another process; this one has not written its own yet
    figures = _read_figures(state_dir / FIGURES_NAME)
    if document and _of_one_process(document, figures):
        document = {**figures, **document}
    if document and not running:
        document["listeners"] = [{**each, "state": _closed(each["state"])} for each in document["listeners"]]
    return {**document, "running": running, "process": dict(lock.facts)}


def _read_document(file: Path, missing_ok: bool) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not missing_ok:
            raise
        return {}
    if not isinstance(document, dict) or "generation" not in document:
        raise ValueError(f"{file} is not a status document")
    return document


def _read_figures(file: Path) -> dict[str, Any]:
    """The figures; nothing where there are none that can be read: the rest is worth showing without them."""
    try:
        figures = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return figures if isinstance(figures, dict) else {}


def _of_one_process(document: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the same process wrote both."""
    return all(name in other and document.get(name) == other[name] for name in ("pid", "started"))


def _closed(state: str) -> str:
    return "closed" if state == "open" else state


def routes(listener: Listener) -> list[dict[str, Any]]:
    """The chains of a listener as rows: the columns of ``meshgate routes`` and the entries of ``status.json``."""
    return [_route(listener, chain) for chain in listener.chains()]


def _route(listener: Listener, chain: Chain) -> dict[str, Any]:
    return {
        "bind": listener.address.bind,
        "port": listener.key.port,
        "protocol": "TLS" if listener.sniffs and chain.names else _plain(listener),
        "hosts": list(chain.names) or ["*"],
        "condition": chain.condition,
        "gateway": chain.gateway,
        "virtual_service": chain.virtual_service,
        "destinations": [
            {
                "name": str(destination),
                "weight": destination.weight,
                "endpoints": [str(endpoint) for endpoint in destination.endpoints],
                "missing": destination.missing,
                "policy": upstream_json(destination.policy) if destination.policy.origin else None,
            }
            for destination in chain.destinations
        ],
        "refusal": chain.refusal,
        "policy": connection_json(chain.policy) if chain.policy.origin else None,
    }


def _plain(listener: Listener) -> str:
    return "TLS, TCP" if listener.sniffs else "TCP"


def _listener(listener: Listener, content: StatusContent) -> dict[str, Any]:
    failure = content.failures.get(listener.key)
    open_or_closed = "open" if content.process["running"] else "closed"
    return {
        "bind": listener.address.bind,
        "port": listener.key.port,
        "protocol": "TLS" if listener.sniffs else "TCP",
        "state": "failed" if failure else open_or_closed,
        "reason": failure or "",
    }
