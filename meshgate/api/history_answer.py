"""The history of the store as clients get it: who has changed which object, and how."""

from __future__ import annotations

from typing import Any, Final

from meshgate.api.collection import Collection
from meshgate.api.refusal import RefusedError
from meshgate.api.requests import Answer, ApiRequest
from meshgate.api.store_interface import Change

MOST_CHANGES: Final = 10_000
"""The number of changes of which the history tells."""


async def history_answer(request: ApiRequest, collection: Collection) -> Answer:
    """
    The last changes without their objects, or one change with both.

    :raises RefusedError: if the user may not read it, or there is no such change.
    """
    if not request.writes:
        raise RefusedError(403, "this user may not read the history, which has the content of Secrets")
    revision = request.number("revision")
    if not revision:
        changes = await collection.history(min(request.number("limit") or 20, MOST_CHANGES))
        return Answer({"changes": [_told(each) for each in changes]})
    for each in await collection.history(MOST_CHANGES):
        if each.revision == revision:
            return Answer({**_told(each), "before": each.before, "after": each.after})
    raise RefusedError(404, f"there is no change with the revision {revision}, or it is forgotten")


def _told(change: Change) -> dict[str, Any]:
    action = "created" if change.before is None else "deleted" if change.after is None else "changed"
    return {
        "revision": change.revision,
        "time": change.time,
        "type": change.type_name,
        "namespace": change.namespace,
        "name": change.name,
        "action": action,
        "user": change.author.user,
        "agent": change.author.agent,
    }
