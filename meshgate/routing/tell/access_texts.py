"""The verdict of access lists on a client, in sentences for people."""

from __future__ import annotations

from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.addresses import address


def access_step(entries: AccessEntries | None, source: str) -> tuple[bool, list[str]]:
    """
    Judge a client by an access list.

    :param entries: the list; None for none.
    :param source: the client's IP address; empty if it is not given.
    :return: True if the client may connect, and a sentence if there is a list.
    """
    if entries is None or not (entries.allow or entries.deny):
        return True, []
    if not source:
        return True, [f"{entries.source} may refuse it by its address, which is not given"]
    admitted, why = entries.verdict(address(source))
    if admitted:
        return True, [f"{source} may connect: {why}"]
    if entries.dry_run:
        return True, [f"{source} would be refused if this were no dry run: {why}"]
    return False, [f"{source} may not connect: {why}, so it ends as denied"]
