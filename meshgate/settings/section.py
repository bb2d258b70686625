"""
Sections of the settings file: their keys, and the types of their values (durations, sizes, addresses, names and
choices) with their validators.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, NamedTuple, NoReturn, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from meshgate.resources.durations import parse_duration
from meshgate.resources.model import MAX_PORT, Model, NonEmpty, PortNumber, ValueForm, refuse
from meshgate.resources.wording import spelling_hint, value_text

UNUSABLE: Final = "MG0104"
"""The code of a setting whose value cannot be used."""

API_PROVIDER: Final = "api"
"""The name of the provider that the API is."""

DNS_PORT: Final = 53
AUTO: Final = "auto"
"""The number of workers that means one for each usable processor."""
MAX_WORKERS: Final = 64
LONGEST_PROBING: Final = 32767
"""The longest pause in seconds that Linux accepts before or between probes."""
_SIZE_UNITS: Final = {"KiB": 1024, "MiB": 1024 * 1024}
_PERMISSIONS = re.compile(r"0?[0-7]{3}")
_SIZE = re.compile(r"([0-9]{1,9}) ?(KiB|MiB)")
_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_LOCALITY = re.compile(r"(?:[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,2})?")
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_SERVER_V4 = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")
_SERVER_V6 = re.compile(r"\[([^\]]*:[^\]]*)\](?::([0-9]{1,5}))?")


def read_seconds(value: object) -> float:
    """
    A duration in Go's syntax, as ``1h30m`` or ``500ms``; a 0 needs no unit.

    :return: seconds.
    """
    if type(value) is int and value == 0:
        return 0.0
    if not isinstance(value, str):
        _refuse(f"must be a duration, not {value_text(value)}", "write a number with a unit, as 500ms, 15s or 1h30m")
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        _refuse(str(error))
    if seconds < 0:
        _refuse(f"the duration {value} is negative")
    return seconds


def _not_off(seconds: float) -> float:
    if not seconds:
        _refuse("must be longer than 0", "this limit cannot be switched off")
    return seconds


def _not_zero(seconds: int) -> int:
    if not seconds:
        _refuse("must be longer than 0", "to have no probes, write 0 for idle")
    return seconds


def read_probe_seconds(value: object) -> int:
    """
    A pause of the kernel's probes: whole seconds, or 0.

    :return: seconds.
    """
    seconds = read_seconds(value)
    if seconds != int(seconds) or seconds > LONGEST_PROBING:
        _refuse(f"must be whole seconds, {LONGEST_PROBING}s at the most, not {value}", "write it as 60s or 2m")
    return int(seconds)


def read_size(value: object) -> int:
    """
    A size: a whole number of bytes, or a number with the unit KiB or MiB.

    :return: bytes.
    """
    if type(value) is int:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        _refuse(f"must be a size, not {value_text(value)}", "write a number of bytes, or one with a unit, as 16KiB")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def read_permissions(value: object) -> int:
    """The permissions of a path, as ``"0660"``: text, since YAML has several readings of such a number."""
    if not isinstance(value, str) or not _PERMISSIONS.fullmatch(value):
        _refuse(f"must be permissions, not {value_text(value)}", 'write them in quotes, as "0660" or "0600"')
    return int(value, 8)


def read_server(value: object) -> tuple[str, int]:
    """
    A name server: an IP address alone, ``address:port``, or ``[address]:port`` for IPv6.

    :return: the address in its usual form, and the port, 53 if none is given.
    """
    text = value if isinstance(value, str) else ""
    match = _SERVER_V4.fullmatch(text) or _SERVER_V6.fullmatch(text)
    host, port = match.groups() if match else (text, None)
    number = int(port) if port else DNS_PORT
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        hint = "write an IP address, with a port or without, as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353"
        _refuse(f"must be the address of a name server, not {value_text(value)}", hint)
    if number > MAX_PORT or (port and not number):
        _refuse(f"the port {port} is out of range", f"1 to {MAX_PORT} is allowed")
    return str(address), number


def one_of(*words: str) -> Callable[[object], str]:
    """A validator that accepts only these words."""

    def judge(value: object) -> str:
        if value in words:
            return str(value)
        choices = " or ".join(words)
        hint = spelling_hint(value, words) if isinstance(value, str) else ""
        _refuse(f"must be {choices}, not {value_text(value)}", hint if "mean" in hint else "")

    return judge


def _read_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        _refuse(f"must be an IP address, not {value_text(text)}", "write it as 127.0.0.1 or ::1")


def _read_network(value: object) -> str:
    try:
        interface = ipaddress.ip_interface(value if isinstance(value, str) else "")
    except ValueError:
        _refuse(f"must be a network, not {value_text(value)}", "write it as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7")
    network = interface.network
    if interface.ip != network.network_address:
        _refuse(f"{value} has bits set beyond its first {network.prefixlen}", f"did you mean {network}?")
    return str(network)


def read_source(text: str) -> str:
    """An address from which connections can be made, in its usual form."""
    address = ipaddress.ip_address(_read_address(text))
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        _refuse(f"{text} is no address to dial from", "write one that this machine has, as 192.0.2.10 or 2001:db8::10")
    return str(getattr(address, "ipv4_mapped", None) or address)


def _matches(pattern: re.Pattern[str], what: str, hint: str) -> AfterValidator:
    def judge(text: str) -> str:
        if not pattern.fullmatch(text):
            _refuse(f"must be {what}, not {value_text(text)}", hint)
        return text

    return AfterValidator(judge)


def _refuse(message: str, hint: str = "") -> NoReturn:
    refuse(UNUSABLE, message, hint)


def read_workers(value: object) -> int | str:
    """A number of workers, or ``auto``."""
    if value == AUTO:
        return AUTO
    if type(value) is not int:
        _refuse(f"must be a number or {AUTO}, not {value_text(value)}")
    if not 1 <= value <= MAX_WORKERS:
        _refuse(f"the number {value} is out of range", f"1 to {MAX_WORKERS} is allowed, or {AUTO}")
    return value


Duration = Annotated[float, BeforeValidator(read_seconds), ValueForm("Duration")]
LimitDuration = Annotated[float, BeforeValidator(read_seconds), AfterValidator(_not_off), ValueForm("Duration")]
ProbeSeconds = Annotated[int, BeforeValidator(read_probe_seconds), ValueForm("Duration")]
ProbeInterval = Annotated[int, BeforeValidator(read_probe_seconds), AfterValidator(_not_zero), ValueForm("Duration")]
Workers = Annotated[int | str, BeforeValidator(read_workers), ValueForm(f"Number or ``{AUTO}``")]
Size = Annotated[int, BeforeValidator(read_size), ValueForm("Size")]
Permissions = Annotated[int, BeforeValidator(read_permissions), ValueForm("Permissions")]
NameServer = Annotated[tuple[str, int], BeforeValidator(read_server)]
Port = Annotated[PortNumber, ValueForm("Port")]
Address = Annotated[str, AfterValidator(_read_address), ValueForm("IP address")]
SourceAddress = Annotated[str, AfterValidator(read_source), ValueForm("IP address")]
Text = Annotated[str, ValueForm("Text")]
PathText = Annotated[NonEmpty, ValueForm("Path")]
Name = Annotated[
    str,
    _matches(_DNS_LABEL, "a name", "use lower-case letters, digits and inner dashes, at most 63 in all"),
    ValueForm("Name"),
]
TrustedNetwork = Annotated[str, BeforeValidator(_read_network)]
Locality = Annotated[
    str,
    _matches(_LOCALITY, "a locality", "write region, region/zone or region/zone/subzone"),
    ValueForm("Locality"),
]
DnsName = Annotated[
    str, _matches(_DNS_NAME, "a DNS name", "write lower-case names with dots between them"), ValueForm("DNS name")
]


def key(description: str, default: Any = ..., **rules: Any) -> Any:
    """
    A key of the file.

    :param description: its meaning and unit, as a sentence.
    :param default: its default, as a user would write it; none for a required key.
    :param rules: further arguments of :func:`pydantic.Field`.
    """
    return Field(default, description=description, validate_default=True, **rules)


class Section(Model):
    """A mapping of the file. A key without a value counts as absent."""

    model_config = ConfigDict(alias_generator=None)


class Key(NamedTuple):
    """
    A key of a section.

    :ivar name: the name of the key in the file.
    :ivar section: the section under the key, or of which there is a list; None if the key has another value.
    """

    name: str
    field: FieldInfo
    section: type[Section] | None


def keys(section: type[Section]) -> Iterator[Key]:
    """The keys of a section, in the order of the reference."""
    for name, field in section.model_fields.items():
        yield Key(field.alias or name, field, _section_in(field.annotation))


def _section_in(annotation: Any) -> type[Section] | None:
    """The section within an annotation, inside any unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
