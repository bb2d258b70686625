"""The section of the settings file about who may connect, and the values of rates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple

from pydantic import BeforeValidator

from meshgate.resources.fault import Fault
from meshgate.resources.kinds.annotations import BANDWIDTH_HINT, parse_bandwidth
from meshgate.resources.model import Items, ValueForm, refuse
from meshgate.resources.networks import UnusableNetworkError, overlap_text, overlaps, read_network
from meshgate.resources.problem import Severity
from meshgate.resources.wording import value_text
from meshgate.routing.access_lists import AccessEntries
from meshgate.settings.section import UNUSABLE, Section, key

SECTION: Final = "access"
"""The key of the section."""

NO_EFFECT: Final = "MG0109"
"""The code of a setting that changes nothing because of others."""

_RATE = re.compile(r"([1-9][0-9]{0,8}) ?/ ?(s|m|h)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


class Often(NamedTuple):
    """
    How often something may happen.

    :ivar times: how many times in :attr:`seconds`; 0 for no limit.
    """

    times: int
    seconds: int

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _SECONDS.items() if seconds == self.seconds)
        return f"{self.times}/{unit}" if self.times else "0"


NO_RATE: Final = Often(0, 1)


def read_rate(value: object) -> Often:
    """A number for each second, minute or hour, as ``20/s``; 0 for no limit."""
    if isinstance(value, Often):
        return value
    if type(value) is int and value == 0:
        return NO_RATE
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        refuse(
            UNUSABLE, f"must be a rate, not {value_text(value)}", "write it as 20/s, 300/m or 1000/h, or 0 for no limit"
        )
    return Often(int(match[1]), _SECONDS[match[2]])


def read_bandwidth(value: object) -> int:
    """
    A number of bytes for each second, as ``10MiB/s``; 0 for no limit.

    :return: bytes for each second.
    """
    if type(value) is int and value == 0:
        return 0
    found = parse_bandwidth(value) if isinstance(value, str) else None
    if found is None:
        hint = f"{BANDWIDTH_HINT}, or 0 for no limit"
        refuse(UNUSABLE, f"must be a bandwidth, not {value_text(value)}", hint)
    return found


def _read_network(value: object) -> str:
    if not isinstance(value, str):
        refuse(UNUSABLE, f"must be a network, not {value_text(value)}", "write it as 192.0.2.0/24")
    try:
        read_network(value)
    except UnusableNetworkError as error:
        refuse(UNUSABLE, error.message, error.hint)
    return value


Rate = Annotated[Often, BeforeValidator(read_rate), ValueForm("Rate")]
Bandwidth = Annotated[int, BeforeValidator(read_bandwidth), ValueForm("Bandwidth")]
SourceNetwork = Annotated[str, BeforeValidator(_read_network)]


class AccessSettings(Section):
    """Who may connect."""

    allow: Annotated[Items[SourceNetwork], ValueForm("List of networks")] = key(
        "The networks and addresses from which clients may connect, as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7; an "
        "empty list means all.",
        (),
    )
    deny: Annotated[Items[SourceNetwork], ValueForm("List of networks")] = key(
        "Those from which they may not, whatever is allowed. Such a connection is closed at once, and logged with the "
        "ending denied.",
        (),
    )
    dry_run: Annotated[bool, ValueForm("true or false")] = key(
        "Refuse nobody by these two lists, and log and count who would be.", False
    )

    def entries(self) -> AccessEntries:
        """The list."""
        return AccessEntries("the settings", self.allow, self.deny, self.dry_run)


def access_faults(access: AccessSettings) -> Iterator[Fault]:
    """A warning for each network that has no effect."""
    lists = {"allow": access.allow, "deny": access.deny}
    for in_allow, index, listed, other in overlaps(access.allow, access.deny):
        name = "allow" if in_allow else "deny"
        message, hint = overlap_text(lists[name][index], listed, other, in_allow)
        yield Fault((SECTION, name, index), NO_EFFECT, message, hint, Severity.WARNING)
    if access.dry_run and not (access.allow or access.deny):
        message = "dry_run has no effect without allow or deny"
        yield Fault((SECTION, "dry_run"), NO_EFFECT, message, "add one of them, or leave it out", Severity.WARNING)
