"""
Health checks: how the gateway finds out if an endpoint serves, by connecting to it now and then.

Istio has no field for it: in a cluster, Kubernetes asks the pods. So the annotation ``meshgate.io/health-check`` of a
DestinationRule, a Service or a ServiceEntry has the check as YAML, and the settings have checks for hosts in the same
form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from meshgate.resources.fault import Fault, FieldPath
from meshgate.resources.model import (
    Duration,
    Items,
    Model,
    Percent,
    PortNumber,
    ValueForm,
    refuse,
    whole_number,
)
from meshgate.resources.problem import Severity
from meshgate.resources.validation import validate
from meshgate.resources.wording import listing, path_text, quoted, spelling_hint, value_text, verb
from meshgate.resources.yaml.document import parse_documents
from meshgate.resources.yaml.nodes import YamlError

ANNOTATION: Final = "meshgate.io/health-check"

UNUSABLE: Final = "MG1100"
"""The code of an annotation that cannot be used."""

HEX: Final = "hex:"
"""The beginning of a text that is bytes in hexadecimal digits."""

LARGEST: Final = 4096
"""The most bytes to be sent, or to be waited for."""

_STATUS = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")
_PATH = re.compile(r"/[!-~]*")
_NAME = re.compile(r"[A-Za-z0-9._-]{0,253}")


def _one_of(*words: str) -> BeforeValidator:
    def judge(value: object) -> str:
        if value in words:
            return str(value)
        hint = spelling_hint(value, words) if isinstance(value, str) else f"one of {', '.join(words)}"
        return refuse("MG1004", f"must be {', '.join(words[:-1])} or {words[-1]}, not {value_text(value)}", hint)

    return BeforeValidator(judge)


def _fits(pattern: re.Pattern[str], what: str, hint: str) -> AfterValidator:
    def judge(text: str) -> str:
        return text if pattern.fullmatch(text) else refuse("MG1006", f"{quoted(text)} is not {what}", hint)

    return AfterValidator(judge)


def _status(value: object) -> object:
    """A status alone may be written without quotes, which makes it a number."""
    return str(value) if type(value) is int else value


def _status_range(text: str) -> str:
    match = _STATUS.fullmatch(text)
    if match is None or int(match[1]) > int(match[2] or match[1]):
        refuse("MG1006", f"{quoted(text)} is not a status of HTTP", "write one as 200, or a range as 200-399")
    return text


def read_bytes(text: str) -> bytes:
    """
    The bytes of a text to send or to wait for: those after ``hex:``, else the text in UTF-8.

    :raises ValueError: if the digits after ``hex:`` are none.
    """
    return bytes.fromhex(text.removeprefix(HEX)) if text.startswith(HEX) else text.encode()


def _bytes_text(text: str) -> str:
    try:
        content = read_bytes(text)
    except ValueError:
        return refuse("MG1006", f"{quoted(text)} is not bytes in hexadecimal digits", "write them as hex:00ff0a")
    if len(content) > LARGEST:
        refuse("MG1006", f"the text has {len(content)} bytes", f"{LARGEST} are allowed")
    return text


def _field(default: Any, description: str, **rules: Any) -> Any:
    return Field(default, description=description, validate_default=True, **rules)


_Bytes = Annotated[str, AfterValidator(_bytes_text), ValueForm("Text, or hex: and digits")]
_Times = Annotated[int, Field(ge=1, le=100), BeforeValidator(whole_number), ValueForm("Number")]


class HealthCheckForm(Model):
    """A health check, as users write it."""

    model_config = ConfigDict(alias_generator=None)

    protocol: Annotated[Literal["tcp", "tls", "http", "https"], _one_of("tcp", "tls", "http", "https")] = _field(
        "tcp",
        "What has to succeed: tcp, a connection; tls, a TLS handshake as well; http and https, a GET request. "
        "Certificates are not verified.",
    )
    port: Annotated[int, Field(ge=0, le=65535), BeforeValidator(whole_number), ValueForm("Port")] = _field(
        0, "The port to connect to; 0 for the endpoint's own."
    )
    name: Annotated[str, _fits(_NAME, "a host name", "use letters, digits, -, _ and dots"), ValueForm("Host name")] = (
        _field(
            "",
            "With tls and https, the server name to ask for; with http and https, the Host of the request. Empty for "
            "no server name, and the endpoint's address as Host.",
        )
    )
    path: Annotated[str, _fits(_PATH, "a path", "begin it with / and write no spaces"), ValueForm("Path")] = _field(
        "/", "With http and https, the path of the request."
    )
    status: Annotated[str, BeforeValidator(_status), AfterValidator(_status_range), ValueForm("Status, or range")] = (
        _field("200-399", "With http and https, the status of a good answer, as 200 or 200-399.")
    )
    send: _Bytes = _field("", "With tcp and tls, what to send; empty for nothing.")
    expect: _Bytes = _field(
        "", "With tcp and tls, what has to come somewhere in the first 16 KiB; empty to wait for nothing."
    )
    interval: Duration = _field("10s", "The time from the end of a check to the next one.")
    jitter: Annotated[Percent, ValueForm("Number")] = _field(
        10, "By how many percent, at the most, chance shortens or lengthens each interval."
    )
    timeout: Duration = _field("2s", "How long a check may take as a whole.")
    rise: _Times = _field(2, "How many checks in a row have to succeed until an unhealthy endpoint is used again.")
    fall: _Times = _field(
        3,
        "How many checks in a row have to fail until an endpoint is unhealthy. At its first check, one is enough.",
    )
    on_unhealthy: Annotated[Literal["keep", "end"], _one_of("keep", "end"), ValueForm("Choice")] = _field(
        "keep",
        "What becomes of the connections of an endpoint that gets unhealthy: keep leaves them alone; end resets them "
        "as endpoint_unhealthy, one after the other within health.spread of the settings.",
    )
    panic_threshold: Annotated[Percent, ValueForm("Number")] = _field(
        0,
        "With a smaller percentage of healthy endpoints, all get connections; 0 for never: with none healthy, "
        "connections end as no_endpoint. A larger minHealthPercent of outlierDetection counts in its place.",
    )
    service_ports: Annotated[Items[PortNumber], ValueForm("List of ports")] = _field(
        (), "The ports of the service whose endpoints are checked; empty for all."
    )


_ONLY_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("tls", "http", "https"),
    "path": ("http", "https"),
    "status": ("http", "https"),
    "send": ("tcp", "tls"),
    "expect": ("tcp", "tls"),
}
"""The keys that mean something with some protocols only."""


def form_faults(form: HealthCheckForm, path: FieldPath = ()) -> Iterator[Fault]:
    """The faults between the keys of a check."""
    found = [
        name
        for name, needed in _ONLY_WITH.items()
        if form.protocol not in needed and getattr(form, name) != HealthCheckForm.model_fields[name].default
    ]
    if found:
        needed = " or ".join(_ONLY_WITH[found[0]])
        message = f"{listing(found)} {verb(found, 'has', 'have')} no meaning with the protocol {form.protocol}"
        yield Fault((*path, found[0]), "MG1006", message, f"write protocol: {needed}, or leave {found[0]} out")


def annotation_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    """The faults of the annotation of a resource, if it has one."""
    text = annotations.get(ANNOTATION)
    if text is not None:
        for message, hint in _read(text)[1]:
            yield Fault(("metadata", "annotations", ANNOTATION), UNUSABLE, message, hint)


def checks_in(annotations: Mapping[str, str]) -> tuple[HealthCheckForm, ...]:
    """The checks of the annotation of a resource; none if it has none, or one with a fault."""
    text = annotations.get(ANNOTATION)
    return () if text is None else _read(text)[0]


@lru_cache(1024)
def _read(text: str) -> tuple[tuple[HealthCheckForm, ...], tuple[tuple[str, str], ...]]:
    """Read the text of an annotation: its checks, and messages with hints if there is a fault."""
    try:
        documents = parse_documents(text)
    except YamlError as error:
        return (), ((f"the health check is not YAML: line {error.line}: {error.message}", error.hint),)
    value = documents[0].value if len(documents) == 1 else None
    entries = value if isinstance(value, list) else [value]
    if not entries or not all(isinstance(each, dict) for each in entries):
        hint = 'write "key: value" lines, as protocol: tls and interval: 5s; {} is a check by connecting'
        return (), (("the health check must be a mapping, or a list of mappings", hint),)
    forms: list[HealthCheckForm] = []
    faults: list[Fault] = []
    for index, entry in enumerate(entries):
        path: FieldPath = (index,) if isinstance(value, list) else ()
        form, found = validate(HealthCheckForm, entry, path, Severity.ERROR)
        faults += found
        if form is not None:
            forms.append(form)
            faults += form_faults(form, path)
    if faults:
        return (), tuple((f"{path_text(each.path)}: {each.message}", each.hint) for each in faults)
    return tuple(forms), ()
