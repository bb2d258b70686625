"""
The status of an object, as ``kubectl wait``, ``kubectl describe`` and people read it: conditions, and for Gateways and
VirtualServices what they are attached to.

The terms are those of the Kubernetes Gateway API: Accepted, Programmed, Conflicted, ResolvedRefs; listeners and
attachedRoutes. They follow from the result of compiling, from the table that the workers serve, and from the ports that
could be opened; a condition keeps the time of its last transition for as long as it says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from meshgate.api.object_validation import sentence
from meshgate.api.store_interface import Object, value_at
from meshgate.resources.problem import Problem, Severity
from meshgate.routing.hosts import MESH, gateway_reference
from meshgate.routing.table import ListenerKey
from meshgate.routing.tell.statuses import CONFLICTS, NOT_TAKEN, GatewayAttachment, ResourceStatus, ServerAttachments

UNRESOLVED: Final = frozenset(
    {"MG2010", "MG2012", "MG2020", "MG2021", "MG2023", "MG2043", "MG2046", "MG2047", "MG2054", "MG2055", "MG2058"}
)
"""Problems with a reference to something that does not exist or cannot be used: a Gateway, a host, a port, a subset."""

PROGRAMMED: Final = "Programmed"

_LONGEST_MESSAGE: Final = 2_000
"""Characters; a resource may have thousands of problems."""

_UNUSED: Final = "no route of this gateway leads to it (a VirtualService with a Gateway has to name its host)"

Failures = Mapping[ListenerKey, str]
"""Why listeners could not be opened."""


NO_STATE: Final = ("", 0)
"""The state of a resource that is no object of the API."""


class CompiledObject(NamedTuple):
    """
    The result of compiling one object.

    :ivar state: the identity of the object that was compiled, and its generation then.
    :ivar problems: all problems with it.
    :ivar attachments: of a Gateway to its servers, of a VirtualService to its Gateways.
    """

    found: ResourceStatus
    state: tuple[str, int]
    problems: Sequence[Problem] = ()
    attachments: Sequence[ServerAttachments] | Sequence[GatewayAttachment] = ()

    def listeners(self) -> list[ListenerKey]:
        """The listeners that have something of the object, each once."""
        return list(dict.fromkeys(key for each in self.attachments for key in each.listeners))


def status_of(compiled: CompiledObject, object_: Object, live: bool, failures: Failures, now: str) -> dict[str, Any]:
    """
    The status of an object.

    :param object_: the object, with the status that it had before.
    :param live: True if all workers serve the table that the result is of.
    :param now: the present time, as Kubernetes writes it.
    """
    found, kind = compiled.found, object_["kind"]
    told = [each for each in compiled.problems if each.severity is not Severity.INFO or each.code in NOT_TAKEN]
    conflicts = _texts(each for each in told if each.code in CONFLICTS)
    unresolved = _texts(each for each in told if each.code in UNRESOLVED and each.severity is not Severity.INFO)
    others = _texts(each for each in told if each.code not in CONFLICTS | UNRESOLVED)
    if not found.accepted:
        others = _texts(told) or "; ".join(found.reasons)
    wanted = [
        ("Accepted", found.accepted, "Accepted" if found.accepted else "NotAccepted", others),
        (PROGRAMMED, *_programmed(compiled, object_, live, failures)),
        ("Conflicted", found.conflicted, "Conflict" if found.conflicted else "NoConflicts", conflicts),
        ("ResolvedRefs", not unresolved, "RefNotFound" if unresolved else "ResolvedRefs", unresolved),
    ]
    status = _with_conditions(object_, wanted, compiled.state[1], now)
    if kind == "Gateway":
        status["listeners"] = list(_listeners(compiled, object_, failures))
    elif kind == "VirtualService":
        status["gateways"] = list(_gateways(compiled, object_, failures))
    return status


def overruled_status(object_: Object, origin: str, now: str) -> dict[str, Any]:
    """
    The status of an object that has no effect, since another provider defines the same resource.

    :param origin: where it does.
    """
    why = overruled(origin)
    wanted = [
        ("Accepted", True, "Accepted", ""),
        (PROGRAMMED, False, "Overruled", why),
        ("Conflicted", True, "Conflict", why),
        ("ResolvedRefs", True, "ResolvedRefs", ""),
    ]
    return _with_conditions(object_, wanted, object_["metadata"]["generation"], now)


def overruled(origin: str) -> str:
    """A sentence on an object that has no effect, since another provider defines the same resource."""
    return f"{origin} defines the same resource, and that definition serves; this one has no effect as long as it does"


def unsettled(status: Any, now: str) -> Any:
    """The status of an object whose content has just changed: whatever it was before, it is not programmed yet."""
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    if not conditions:
        return status
    return {**status, "conditions": [_unsettled(each, now) for each in conditions]}


def _unsettled(condition: Mapping[str, Any], now: str) -> Mapping[str, Any]:
    if condition["type"] != PROGRAMMED or condition["status"] != "True":
        return condition
    pending = {"status": "False", "reason": "Pending", "message": "the change is not served yet"}
    return {**condition, **pending, "lastTransitionTime": now}


def _programmed(compiled: CompiledObject, object_: Object, live: bool, failures: Failures) -> tuple[bool, str, str]:
    """The condition Programmed: its status, reason and message."""
    if not compiled.found.programmed:
        told = _texts(compiled.problems) or "; ".join(compiled.found.reasons)
        return False, "NotProgrammed", told or _why_nothing(object_)
    keys = compiled.listeners()
    failed = [f"the port {key} cannot be opened: {failures[key]}" for key in keys if key in failures]
    if failed and len(failed) == len(keys):
        return False, "PortUnavailable", "; ".join(failed)
    if not live:
        return False, "Pending", "not all workers serve it yet"
    return True, PROGRAMMED, "; ".join(["all workers serve it", *failed])


def _why_nothing(object_: Object) -> str:
    """Why nothing of an object serves that has no problem itself."""
    if object_["kind"] == "Gateway":
        return "no VirtualService has a route for one of its servers (write one that names this Gateway)"
    if object_["kind"] == "VirtualService":
        named = "; ".join(_describe(name) for name in _named_gateways(object_))
        return f"none of its Gateways has a server that serves its rules; their status says why{named and f': {named}'}"
    return _UNUSED


def _describe(gateway: str) -> str:
    namespace, _, name = gateway.partition("/")
    return f"kubectl describe gw {name} -n {namespace}"


def _named_gateways(virtual_service: Object) -> Sequence[str]:
    """The Gateways that a VirtualService names, as namespace/name, each once."""
    namespace = virtual_service["metadata"]["namespace"]
    named = value_at(virtual_service, ("spec", "gateways")) or ()
    return list(dict.fromkeys(gateway_reference(each, namespace) for each in named if each != MESH))


def _listeners(compiled: CompiledObject, gateway: Object, failures: Failures) -> Iterator[dict[str, Any]]:
    """The servers of a Gateway: which are open, and which not, and why."""
    attached = {each.server: each for each in compiled.attachments if isinstance(each, ServerAttachments)}
    for index, server in enumerate(value_at(gateway, ("spec", "servers")) or ()):
        port = server.get("port") or {}
        found = attached.get(port.get("name", ""))
        path = f"spec.servers[{index}]"
        own = [each for each in compiled.problems if each.path == path or each.path.startswith(f"{path}.")]
        failed = [failures[key] for key in found.listeners if key in failures] if found is not None else []
        if found is None:
            message = _texts(own) or "no VirtualService has a route for it"
        elif failed:
            message = f"the port cannot be opened: {'; '.join(failed)}"
        else:
            message = found.refusal
        yield {
            "name": port.get("name", ""),
            "port": port.get("number"),
            "protocol": port.get("protocol", ""),
            "hosts": server.get("hosts") or [],
            "open": found is not None and not failed,
            "attachedRoutes": found.routes if found is not None else 0,
            **({"message": message[:_LONGEST_MESSAGE]} if message else {}),
        }


def _gateways(compiled: CompiledObject, virtual_service: Object, failures: Failures) -> Iterator[dict[str, Any]]:
    """The Gateways that a VirtualService names: which have taken it, and on which ports."""
    attached = {each.gateway: each for each in compiled.attachments if isinstance(each, GatewayAttachment)}
    for name in dict.fromkeys([*_named_gateways(virtual_service), *attached]):
        found = attached.get(name)
        if found is None:
            yield {"name": name, "programmed": False}
        else:
            opened = [key for key in found.listeners if key not in failures]
            ports = list(dict.fromkeys(key.port for key in opened))
            yield {"name": name, "programmed": bool(opened), "ports": ports}


def _texts(problems: Iterable[Problem]) -> str:
    """Some problems in one text."""
    return "; ".join(dict.fromkeys(map(sentence, problems)))


def _with_conditions(
    object_: Object, wanted: Iterable[tuple[str, bool, str, str]], generation: int, now: str
) -> dict[str, Any]:
    before = {each["type"]: each for each in value_at(object_, ("status", "conditions")) or ()}
    conditions = [_condition(*each, generation, before.get(each[0]), now) for each in wanted]
    return {"observedGeneration": generation, "conditions": conditions}


def _condition(
    name: str, holds: bool, reason: str, message: str, generation: int, before: Mapping[str, Any] | None, now: str
) -> dict[str, Any]:
    status = "True" if holds else "False"
    since = before["lastTransitionTime"] if before is not None and before["status"] == status else now
    return {
        "type": name,
        "status": status,
        "reason": reason,
        "message": message[:_LONGEST_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": since,
    }
