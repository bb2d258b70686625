"""
``status.json``: what the running gateway has in force, for ``meshgate status`` and for anything that watches files.

Written whole beside its place and renamed onto it, so that a reader never sees half of it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from meshgate.resources.problem import Problem
from meshgate.resources.record import ResourceKey
from meshgate.routing.policy_texts import connection_json, upstream_json
from meshgate.routing.statuses import ResourceStatus
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable

FILE_NAME = "status.json"


def status_document(
    table: RoutingTable,
    failures: Mapping[ListenerKey, str],
    problems: Iterable[Problem],
    process: Mapping[str, Any],
    statuses: Mapping[ResourceKey, ResourceStatus],
) -> dict[str, Any]:
    """
    The document's plain values.

    :param failures: the listeners whose port is not open, each with the reason.
    :param process: facts of the process: ``pid``, ``version``, ``started``, ``updated``, ``running``.
    :param statuses: what became of each resource.
    """
    listeners = [table.listeners[key] for key in sorted(table.listeners)]
    return {
        **process,
        "generation": table.generation,
        "listeners": [_listener(listener, failures.get(listener.key)) for listener in listeners],
        "routes": [route for listener in listeners for route in routes(listener)],
        "endpoints": _endpoints(listeners),
        "resources": [{**key._asdict(), **status.as_json()} for key, status in statuses.items()],
        "problems": [problem.as_json() for problem in problems],
    }


def write_status(state_dir: Path, document: Mapping[str, Any]) -> None:
    """
    Replace the file in one step.

    :raises OSError: when the folder cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=FILE_NAME, dir=state_dir)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # Without indentation the encoder is C: ten times as fast for thousands of routes.
            file.write(json.dumps(document))
            file.write("\n")
        os.chmod(name, 0o644)
        os.replace(name, state_dir / FILE_NAME)
    except BaseException:
        os.unlink(name)
        raise


def read_status(state_dir: Path) -> dict[str, Any]:
    """
    What the gateway wrote last.

    :raises FileNotFoundError: no gateway has ever run with this state folder.
    :raises ValueError: the file is not a status document.
    """
    document = json.loads((state_dir / FILE_NAME).read_text(encoding="utf-8"))
    if not isinstance(document, dict) or "generation" not in document:
        raise ValueError(f"{state_dir / FILE_NAME} is not a status document")
    return document


def routes(listener: Listener) -> list[dict[str, Any]]:
    """The chains of a listener as rows: the columns of ``meshgate routes`` and the entries of ``status.json``."""
    return [_route(listener, chain) for chain in listener.chains()]


def _route(listener: Listener, chain: Chain) -> dict[str, Any]:
    return {
        "bind": listener.key.bind,
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


def _listener(listener: Listener, failure: str | None) -> dict[str, Any]:
    return {
        "bind": listener.key.bind,
        "port": listener.key.port,
        "protocol": "TLS" if listener.sniffs else "TCP",
        "state": "failed" if failure else "open",
        "reason": failure or "",
    }


def _endpoints(listeners: Iterable[Listener]) -> dict[str, list[str]]:
    """Endpoints by destination, each destination once."""
    return {
        str(destination): [str(endpoint) for endpoint in destination.endpoints]
        for listener in listeners
        for chain in listener.chains()
        for destination in chain.destinations
    }
