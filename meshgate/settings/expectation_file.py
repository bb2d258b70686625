"""
The file of expectations with which ``meshgate test`` compares routes: its models, and the reading of it.

Every problem of a file is reported at once. :mod:`meshgate.routing.tell.explain` finds out if expectations hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from meshgate.resources.fault import Fault
from meshgate.resources.model import MAX_PORT, Items, Labels, NonEmpty, PortNumber, ValueForm, refuse, whole_number
from meshgate.resources.problem import Problem, has_errors
from meshgate.resources.wording import quoted, value_text
from meshgate.routing.tell.explain import Call, Expectation, Result, Target
from meshgate.settings.file import FileForm, UnusableFileError, judge, located, read_mapping
from meshgate.settings.schema import EXTENDED
from meshgate.settings.section import Address, DnsName, Name, Section, one_of

UNUSABLE = "MG0204"
"""The code of a value that cannot be used."""

_TARGET = re.compile(r"([^\s:()/]+)(?::([0-9]{1,5}))?(?: \(subset ([^\s()]+)\))?")
_TARGETS = ValueForm("text, list of texts, or mapping of texts to weights")
_TARGET_HINT = "write it as name, name.namespace or the full host, with a port or without, as cart.shop:80"


class ExpectationsError(UnusableFileError):
    """The expectations cannot be used."""


FORM = FileForm(
    name="file of expectations",
    error=ExpectationsError,
    no_mapping="MG0201",
    unknown_key="MG0202",
    missing_key="MG0203",
    unusable=UNUSABLE,
    where_empty="write at least one expectation under expect",
)


def _target(text: object, weight: int = 0) -> Target:
    match = _TARGET.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or int(match[2] or 1) not in range(1, MAX_PORT + 1):
        refuse(UNUSABLE, f"must be a destination, not {value_text(text)}", _TARGET_HINT)
    return Target(match[1].lower().removesuffix("."), int(match[2] or 0), match[3] or "", weight)


def _targets(value: object) -> tuple[Target, ...]:
    """One destination, a list of them, or a mapping from each to its weight."""
    if isinstance(value, list):
        found = tuple(map(_target, value))
    elif isinstance(value, Mapping):
        found = tuple(_target(text, _weight(weight)) for text, weight in value.items())
    else:
        found = (_target(value),)
    if not found:
        refuse(UNUSABLE, f"{value_text(value)} names no destination", "leave the key out where it does not matter")
    return found


def _weight(value: object) -> int:
    weight: int = whole_number(value)
    if weight < 1:
        refuse(UNUSABLE, f"the weight {weight} is out of range", "at least 1 is allowed; leave out what gets nothing")
    return weight


class GatewaySection(Section):
    """The gateway for which the expectations are."""

    labels: Labels | None = Field(default=None, description="its labels, which Gateways select by")
    namespace: Name = Field(default="", description="the namespace it runs in")


class ExpectationSection(Section):
    """A connection, and its expected destination or end."""

    name: str = Field(default="", description="what the report calls it")
    port: PortNumber = Field(description="the port that the client connects to")
    bind: Address | None = Field(default=None, description="the listener's own bind address, where its server has one")
    sni: NonEmpty | None = Field(default=None, description="the server name that the client asks for")
    plain: bool = Field(default=False, description="the client does not speak TLS")
    source: Address | None = Field(default=None, description="the client's address; with semantics: extended")
    destination_address: Address | None = Field(
        default=None, description="the address that the client connects to; with semantics: extended"
    )
    virtual_service: str = Field(default="", description="namespace/name, or the name alone")
    gateway: str = Field(default="", description="namespace/name, or the name alone")
    destination: Annotated[tuple[Target, ...], BeforeValidator(_targets), Field(strict=False), _TARGETS] = Field(
        default=(),
        description="where connections go, all of it: as name, name.namespace or the full host, with a port or without",
    )
    closed: bool = Field(default=False, description="the connection is closed")
    no_listener: bool = Field(default=False, description="nothing listens there")

    def result(self) -> Result | None:
        """The expected result; None if nothing is expected."""
        if self.closed:
            return "closed"
        if self.no_listener:
            return "no_listener"
        return "routed" if self.virtual_service or self.gateway or self.destination else None


class ExpectationsFile(Section):
    """The whole file."""

    routes: Items[NonEmpty] = Field(default=(), description="files and folders, relative to the folder of this file")
    gateway: GatewaySection = Field(default=GatewaySection(), description="the gateway; that of Istio unless given")
    default_namespace: Name = Field(default="", description="the namespace of the documents that name none")
    domain_suffix: DnsName | None = Field(default=None, description="the domain of the cluster")
    semantics: Annotated[
        Literal["", "istio", "extended"], BeforeValidator(one_of("istio", EXTENDED)), ValueForm("choice")
    ] = Field(default="", description="whose rules decide where a connection goes: istio, or extended")
    expect: Annotated[Items[ExpectationSection], Field(min_length=1)] = Field(description="the expectations")


@dataclass(frozen=True, slots=True)
class Case:
    """
    One expectation of a file.

    :ivar name: its name; empty if it has none.
    :ivar line: the line on which it begins.
    """

    name: str
    line: int
    expectation: Expectation


@dataclass(frozen=True, slots=True)
class Expectations:
    """
    The content of a file of expectations. Keys that the file leaves out are None or empty.

    :ivar routes: the files and folders of routes, relative to the current folder.
    :ivar warnings: problems that do not keep the file from being used.
    """

    routes: tuple[str, ...]
    labels: Mapping[str, str] | None
    namespace: str
    default_namespace: str
    domain_suffix: str | None
    semantics: str
    cases: tuple[Case, ...]
    warnings: tuple[Problem, ...]


def load_expectations(path: Path) -> Expectations:
    """
    Read a file of expectations. Blocks while the file is read.

    :raises ExpectationsError: if the file cannot be used.
    """
    document = read_mapping(path, FORM)
    content, judged = judge(ExpectationsFile, document.value, FORM)
    if content is not None:
        extended = content.semantics == EXTENDED
        for index, section in enumerate(content.expect):
            judged += _contradictions(section, ("expect", index), extended)
    problems = located(judged, document, path)
    if content is None or has_errors(problems):
        raise ExpectationsError(problems)
    lines = (document.position(("expect", index))[0] for index in range(len(content.expect)))
    return Expectations(
        routes=tuple(str(path.parent / route) for route in content.routes),
        labels=content.gateway.labels,
        namespace=content.gateway.namespace,
        default_namespace=content.default_namespace,
        domain_suffix=content.domain_suffix,
        semantics=content.semantics,
        cases=tuple(map(_case, content.expect, lines)),
        warnings=problems,
    )


def _case(section: ExpectationSection, line: int) -> Case:
    addresses = (section.source or "", section.destination_address or "")
    call = Call(section.port, section.bind, not section.plain, section.sni, *addresses)
    expectation = Expectation(
        call, section.result() or "routed", section.virtual_service, section.gateway, destinations=section.destination
    )
    return Case(section.name, line, expectation)


def _contradictions(section: ExpectationSection, path: tuple[str | int, ...], extended: bool) -> Iterator[Fault]:
    """Faults of one expectation whose keys contradict each other, or the semantics."""
    if section.plain and section.sni is not None:
        yield Fault(
            (*path, "sni"), UNUSABLE, "plain text carries no server name", "leave out plain or sni", points_at_key=True
        )
    for name in ("source", "destination_address"):
        if getattr(section, name) is not None and not extended:
            message = "the address decides nothing here: Istio's gateway does not look at it"
            yield Fault(
                (*path, name), UNUSABLE, message, "leave it out, or write semantics: extended", points_at_key=True
            )
    routed = [name for name in ("virtual_service", "gateway", "destination") if getattr(section, name)]
    ends = [name for name in ("closed", "no_listener") if getattr(section, name)]
    if ends and len(ends) + len(routed) > 1:
        others = ", ".join((*ends[1:], *routed))
        message = f"{ends[0]} excludes {others}: a connection has one end"
        yield Fault((*path, ends[0]), UNUSABLE, message, "split it into several expectations", points_at_key=True)
    if not ends and not routed:
        hint = "add virtual_service, gateway or destination, or closed: true, or no_listener: true"
        yield Fault(path, "MG0203", f"nothing is expected of {_described(section)}", hint)


def _described(section: ExpectationSection) -> str:
    return quoted(section.name) if section.name else f"the connection to port {section.port}"
