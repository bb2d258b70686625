"""
The text of ``status.json``: everything that the gateway has in force, for ``meshgate status`` and other programs.

A document of thousands of routes takes long to make, so the rows of routes and resources are kept: a row whose chain or
status is the same object is not made again. Readers get the document together with the figures and the lock of the
state folder, by :func:`read_status`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshgate.resources.phases import Rest, no_rest
from meshgate.resources.problem import Problem
from meshgate.resources.resource import ResourceKey
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable
from meshgate.routing.tell.policy_texts import connection_json, upstream_json
from meshgate.routing.tell.statuses import NO_RESOURCES, ResourceCounts, ResourceStatus
from meshgate.state.folder import FIGURES_NAME, STATUS_NAME, holder, identity_in

ROWS_AT_ONCE: Final = 2000
"""The number of rows that one phase makes, in some 0.05 s."""


@dataclass(frozen=True, slots=True)
class StatusContent:
    """
    The content of the document.

    :ivar failures: the listeners whose port is not open, each with the reason.
    :ivar process: the facts of the process: ``pid``, ``boot_id``, ``process_start``, ``version``, ``started``,
        ``updated``, ``running``.
    :ivar statuses: the status of each resource.
    :ivar counts: of the resources, those without a status included.
    """

    table: RoutingTable
    failures: Mapping[ListenerKey, str]
    problems: Collection[Problem]
    process: Mapping[str, Any]
    statuses: Mapping[ResourceKey, ResourceStatus]
    counts: ResourceCounts = NO_RESOURCES


class StatusText:
    """Makes the texts of one document after the other."""

    def __init__(self) -> None:
        # The table of the last text, and the texts of its routes: by what the listener adds, and the chain's id().
        self._table = RoutingTable()
        self._routes: dict[tuple[bool, ListenerKey], dict[int, str]] = {}
        self._statuses: Mapping[ResourceKey, ResourceStatus] = {}
        self._resources: dict[ResourceKey, str] = {}

    async def text(self, content: StatusContent, rest: Rest = no_rest) -> list[str]:
        """
        Make the text in phases.

        :param rest: awaited between two phases.
        :return: the text, in chunks.
        """
        listeners = [content.table.listeners[key] for key in sorted(content.table.listeners)]
        head = {
            **content.process,
            "generation": content.table.generation,
            "counts": content.counts._asdict(),
        }
        chunks = [json.dumps(head)[:-1], ', "listeners": [']
        chunks += _separated(json.dumps(_listener(each, content)) for each in listeners)
        chunks.append('], "routes": [')
        chunks += _separated(await self._routes_of(listeners, rest))
        self._table = content.table
        chunks.append('], "endpoints": {')
        endpoints = {str(each): [str(one) for one in each.endpoints] for each in content.table.destinations()}
        chunks += _separated(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in endpoints.items())
        chunks.append('}, "resources": [')
        chunks += _separated(await self._resource_rows(content.statuses, rest))
        chunks.append('], "problems": [')
        chunks += _separated(json.dumps(each.as_json()) for each in content.problems)
        chunks.append("]}\n")
        return chunks

    async def _routes_of(self, listeners: Iterable[Listener], rest: Rest) -> list[str]:
        routes: dict[tuple[bool, ListenerKey], dict[int, str]] = {}
        made = 0
        for listener in listeners:
            shown_as = (listener.sniffs, listener.address)
            before, rows = self._routes.get(shown_as, {}), routes.setdefault(shown_as, {})
            for chain in listener.chains():
                row = before.get(id(chain))
                if row is None:
                    row = json.dumps(_route(listener, chain))
                    await _rest_after(made, rest)
                    made += 1
                rows[id(chain)] = row
        self._routes = routes
        return [row for rows in routes.values() for row in rows.values()]

    async def _resource_rows(self, statuses: Mapping[ResourceKey, ResourceStatus], rest: Rest) -> list[str]:
        rows: dict[ResourceKey, str] = {}
        for key, status in statuses.items():
            row, before = self._resources.get(key), self._statuses.get(key)
            if row is None or (before is not status and before != status):
                row = json.dumps({**key._asdict(), **status.as_json()})
                await _rest_after(len(rows), rest)
            rows[key] = row
        self._statuses, self._resources = statuses, rows
        return list(rows.values())


async def _rest_after(rows: int, rest: Rest) -> None:
    if rows % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
        await rest()


def _separated(rows: Iterable[str]) -> list[str]:
    """Rows with commas between them, as one chunk."""
    return [", ".join(rows)]


def read_status(state_dir: Path) -> dict[str, Any]:
    """
    Read the last status of a gateway with its latest figures, and find out if it runs.

    The lock says if the gateway runs; if the lock cannot be read, the process that wrote the status is looked for. The
    ports of a gateway that does not run are closed, whatever the document says.

    :return: the document and the figures in one, with ``running``, and under ``process`` the facts of the process that
        holds or last held the lock.
    :raises FileNotFoundError: if no gateway has ever run with this state folder.
    :raises OSError: if the status cannot be read.
    :raises ValueError: if the file is not a status document.
    """
    lock = holder(state_dir)
    document = _read_document(state_dir / STATUS_NAME, missing_ok=bool(lock.held or lock.facts))
    running = lock.held
    if running is None:
        wrote = identity_in(document)
        running = bool(document.get("running")) and wrote is not None and wrote.lives()
    if running and lock.facts and not _of_one_process(document, lock.facts):
        document = {}  # by another process; this one has not written its own yet
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
    """The figures; none if they cannot be read, since the rest is worth showing without them."""
    try:
        figures = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return figures if isinstance(figures, dict) else {}


def _of_one_process(document: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True if the same process wrote both documents."""
    return all(name in other and document.get(name) == other[name] for name in ("pid", "started"))


def _closed(state: str) -> str:
    return "closed" if state == "open" else state


def routes(listener: Listener) -> list[dict[str, Any]]:
    """The chains of a listener as rows: for ``meshgate routes`` and ``status.json``."""
    return [_route(listener, chain) for chain in listener.chains()]


def _proxy_protocol(listener: Listener) -> dict[str, Any] | None:
    header = listener.header
    if header is None:
        return None
    return {"mode": "strict" if header.required else "optional", "trusted": list(map(str, header.trusted))}


def _route(listener: Listener, chain: Chain) -> dict[str, Any]:
    return {
        "bind": listener.address.bind,
        "port": listener.key.port,
        "protocol": "TLS" if listener.sniffs and chain.names else _plain(listener),
        "proxy_protocol": _proxy_protocol(listener),
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
                "missing_code": destination.missing_code,
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
