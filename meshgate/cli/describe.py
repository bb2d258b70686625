"""``meshgate describe``: objects of the local gateway's API for people, with their status and events."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from meshgate.api.api_client import ApiClient, ApiClientError, address
from meshgate.api.resource_types import EVENTS, ResourceType
from meshgate.cli.api_options import (
    ALL_NAMESPACES,
    NAMESPACE,
    SELECTOR,
    client_error,
    client_of,
    complete_type,
    indented,
    selected,
    with_gateway,
)
from meshgate.resources.durations import format_age
from meshgate.resources.wording import count_of

NONE: Final = "<none>"

_HEAD: Final = ("apiVersion", "kind", "metadata", "status")
_ENTRIES: Final = ("data", "stringData", "binaryData")
_STEP: Final = 2
"""Blanks before what belongs to a line above."""

_NOT_SHOWN: Final = ("lastTransitionTime", "observedGeneration", "lastProbeTime")


@click.command("describe")
@click.argument("arguments", metavar="TYPE [NAME]...", nargs=-1, required=True, shell_complete=complete_type)
@ALL_NAMESPACES
@SELECTOR
@NAMESPACE
@with_gateway
def command(
    arguments: tuple[str, ...],
    all_namespaces: bool,
    selector: str,
    namespace: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Describe objects of the local gateway's API: their content, status and events.

    The conditions, the listeners of a Gateway and other lists of the status are tables; of a Secret, the sizes of its
    entries are shown. Without a NAME, all objects of the TYPE are described. TYPE/NAME names an object as well.

    \b
    meshgate describe gateway echo
    meshgate describe gw/echo vs/echo -n shop
    """  # noqa: D301 - click's mark for lines to keep
    wanted = selected(arguments)
    if any(names for _, names in wanted) and (all_namespaces or selector):
        raise click.UsageError("name objects, or select them: not both")
    client = client_of(config, state_dir)
    where = "" if all_namespaces else namespace or client.namespace
    query = {"labelSelector": selector} if selector else {}
    try:
        described = 0
        for type_, names in wanted:
            objects: Iterable[dict[str, Any]] = client.list(type_, where, **query)
            if names:
                objects = [client.get(address(type_, where, name)) for name in names]
            for each in objects:
                if described:
                    click.echo("\n")
                described += 1
                now = datetime.now(UTC)
                for line in description(each, _events(client, type_, each), now):
                    click.echo(line)
        if not described:
            click.echo(f"No resources found{f' in {where} namespace.' if where else ''}", err=True)
    except ApiClientError as error:
        raise client_error(error) from None


def _events(client: ApiClient, type_: ResourceType, object_: Mapping[str, Any]) -> list[dict[str, Any]]:
    if type_ is EVENTS:
        return []
    metadata = object_["metadata"]
    wanted = f"involvedObject.kind={object_['kind']},involvedObject.name={metadata['name']}"
    found = list(client.list(EVENTS, metadata.get("namespace") or "default", fieldSelector=wanted))
    return sorted(found, key=lambda event: str(event.get("lastTimestamp") or ""))


def description(object_: Mapping[str, Any], events: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    """
    Describe an object, in lines.

    :param events: those of the object, the latest last.
    :param now: for ages.
    """
    yield from _head(object_, now)
    for name, value in object_.items():
        if name not in _HEAD:
            yield f"{title_of(name)}:{_rest(value)}"
            yield from indented(_content(object_, name, value), _STEP)
    status = object_.get("status")
    if isinstance(status, Mapping):
        yield from _status(status, now)
    yield from _event_lines(events, now)


def _head(object_: Mapping[str, Any], now: datetime) -> Iterator[str]:
    metadata = object_["metadata"]
    rows = [("Name", str(metadata["name"]))]
    if metadata.get("namespace"):
        rows.append(("Namespace", metadata["namespace"]))
    for name, separator in (("labels", "="), ("annotations", ": ")):
        texts = _texts(metadata.get(name), separator)
        rows += [(title_of(name) if number == 0 else "", text) for number, text in enumerate(texts)]
    rows += [("API Version", object_["apiVersion"]), ("Kind", object_["kind"])]
    created = metadata.get("creationTimestamp")
    rows.append(("Created", f"{created} ({_age(created, now)} ago)" if created else "<unknown>"))
    if metadata.get("deletionTimestamp"):
        rows.append(("Deleted", f"{metadata['deletionTimestamp']}, and waits for {', '.join(metadata['finalizers'])}"))
    for owner in metadata.get("ownerReferences") or ():
        rows.append(("Follows From", f"{owner.get('kind')}/{owner.get('name')}"))
    width = max(len(name) for name, _ in rows) + _STEP
    return (f"{f'{name}:' if name else '':{width}}{text}".rstrip() for name, text in rows)


def _texts(mapping: Any, separator: str) -> list[str]:
    """The entries of labels or annotations, without what kubectl keeps for itself."""
    entries = mapping.items() if isinstance(mapping, Mapping) else ()
    kept = [(key, value) for key, value in entries if key != "kubectl.kubernetes.io/last-applied-configuration"]
    return [f"{key}{separator}{value}" for key, value in kept] or [NONE]


def _content(object_: Mapping[str, Any], name: str, value: Any) -> Iterator[str]:
    """The lines of a field; of a Secret, the sizes of its entries alone."""
    if name not in _ENTRIES or not isinstance(value, Mapping):
        return lines_of(value)
    if object_["kind"] == "Secret":
        return (f"{key}: {count_of(_size(name, text), 'byte')}" for key, text in value.items())
    return (line for key, text in value.items() for line in (f"{key}:", *indented(str(text).splitlines(), _STEP)))


def _size(field: str, text: Any) -> int:
    if field == "stringData":
        return len(str(text).encode())
    try:
        return len(base64.b64decode(str(text)))
    except (binascii.Error, ValueError):
        return 0


def lines_of(value: Any) -> Iterator[str]:
    """A value of several lines as kubectl describes it: names as titles, and lists with a dash at each item."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield f"{title_of(name)}:{_rest(each)}"
            yield from indented(lines_of(each), _STEP)
    elif isinstance(value, list) and not _is_short(value):
        for item in value:
            first, *others = list(lines_of(item)) or [_text(item)]
            yield f"- {first}"
            yield from indented(others, _STEP)


def _rest(value: Any) -> str:
    """The text behind the name of a field: a plain value, or nothing where the value has lines of its own."""
    if isinstance(value, Mapping):
        return "" if value else f" {NONE}"
    if isinstance(value, list) and not _is_short(value):
        return ""
    return f" {_text(value)}"


def _is_short(values: list[Any]) -> bool:
    return not any(isinstance(each, Mapping | list) for each in values)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or NONE
    return NONE if value in (None, "", {}) else str(value)


def title_of(name: str) -> str:
    """The name of a field as a title: ``attachedRoutes`` is ``Attached Routes``; other keys stay as they are."""
    if not name.isalnum() or not name[:1].islower():
        return name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return words[:1].upper() + words[1:]


def _status(status: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """The status: lists of objects as tables, and all else in lines."""
    yield "Status:"
    for name, value in status.items():
        if name in _NOT_SHOWN:
            continue
        if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            yield f"  {title_of(name)}:"
            yield from indented(_table(value, now), 2 * _STEP)
        else:
            yield f"  {title_of(name)}:{_rest(value)}"
            yield from indented(lines_of(value), 2 * _STEP)


def _table(items: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    """Objects as the rows of a table, with the age of what has changed; a message comes last."""
    names = dict.fromkeys(name for each in items for name in each if name not in (*_NOT_SHOWN, "message"))
    if any(isinstance(each.get(name), Mapping) or _has_lines(each.get(name)) for each in items for name in names):
        yield from lines_of(list(items))
        return
    has_age = any("lastTransitionTime" in each for each in items)
    has_message = any(each.get("message") for each in items)
    titles = [*map(title_of, names), *(["Age"] if has_age else []), *(["Message"] if has_message else [])]
    rows = [
        [
            *(_text(each.get(name)) for name in names),
            *([_age(each.get("lastTransitionTime"), now)] if has_age else []),
            *([str(each.get("message") or "")] if has_message else []),
        ]
        for each in items
    ]
    yield from _ruled(titles, rows)


def _has_lines(value: Any) -> bool:
    return isinstance(value, list) and not _is_short(value)


def _ruled(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table with a line of dashes below its titles, as in kubectl's descriptions."""
    lines = [titles, ["-" * len(title) for title in titles], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def _event_lines(events: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    if not events:
        yield f"Events: {NONE}"
        return
    yield "Events:"
    rows = [
        [
            _text(each.get("type")),
            _text(each.get("reason")),
            _age(each.get("lastTimestamp") or each.get("eventTime"), now),
            _text((each.get("source") or {}).get("component")),
            _text(each.get("message")),
        ]
        for each in events
    ]
    yield from indented(_ruled(["Type", "Reason", "Age", "From", "Message"], rows), _STEP)


def _age(time: Any, now: datetime) -> str:
    try:
        return format_age((now - datetime.fromisoformat(str(time))).total_seconds())
    except (ValueError, TypeError):
        return "<unknown>"
