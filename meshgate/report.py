"""Results as text and tables for a terminal: problems, routes, changes and fields."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import click

from meshgate.resources.codes import CODES_PAGE, help_uri
from meshgate.resources.field_reference import Entry, kind_entry
from meshgate.resources.kinds.supported_kinds import Kind
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import count_of
from meshgate.routing.table import ListenerKey
from meshgate.routing.tell.explain import Call, Explanation
from meshgate.routing.tell.statuses import ResourceCounts
from meshgate.routing.tell.traffic_diff import (
    AccessChange,
    EndpointsChange,
    NameChange,
    Outcome,
    PolicyChange,
    PortChange,
    PortMode,
    TrafficDiff,
)
from meshgate.settings.expectation_file import Case

COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_GAP: Final = "  "
"""The space between two columns of a table."""


def problem_line(problem: Problem) -> str:
    """Write a problem as compilers do, with its severity in color."""
    plain = f"{problem.severity.value}[{problem.code}]"
    styled = click.style(plain, fg=COLORS[problem.severity], bold=problem.severity is Severity.ERROR)
    return str(problem).replace(plain, styled, 1)


def print_problems(
    problems: Sequence[Problem], counts: ResourceCounts | None = None, gateways: Sequence[str] = ()
) -> None:
    """
    Print every problem on a line, and a last line that counts them.

    :param counts: of the resources, for the last line; None leaves them out.
    :param gateways: the names of the gateways that were judged, for the last line; one alone is not named.
    """
    for problem in problems:
        click.echo(problem_line(problem))
    codes = {problem.code for problem in problems}
    if codes:
        one = codes.pop() if len(codes) == 1 else ""
        click.echo(f"{one} is explained at {help_uri(one)}" if one else f"the codes are explained at {CODES_PAGE}")
    total = problem_count(problems) + (f" in {counts}" if counts is not None else "")
    click.echo(f"{total}, at the gateways {', '.join(gateways)}" if len(gateways) > 1 else total)


def problem_count(problems: Iterable[Problem]) -> str:
    """Count problems by severity: ``2 errors, 1 warning``."""
    counts = Counter(problem.severity for problem in problems)
    return ", ".join(count_of(counts[one], one.value) for one in Severity if counts[one]) or "no problems"


def print_explanation(call: Call, explanation: Explanation) -> None:
    """Print the result of a connection, and its steps."""
    color = {"routed": "green", "closed": "red", "no_listener": "red"}[explanation.result]
    click.secho(explanation.result.replace("_", " "), fg=color, bold=True, nl=False)
    click.echo(f"  {call_text(call)}")
    print_steps(explanation)


def call_text(call: Call) -> str:
    """Describe a connection in a few words."""
    name = call.sni or ("no server name" if call.tls else "plain")
    ends = "".join(f" {word} {each}" for word, each in (("from", call.source), ("to", call.destination)) if each)
    return f"port {call.port}" + (f" of {call.bind}" if call.bind else "") + f", {name}{ends}"


def print_steps(explanation: Explanation, indent: str = "  ") -> None:
    """Print the steps of a connection, and what was dropped or ignored on the way."""
    for number, step in enumerate(explanation.steps, 1):
        click.echo(f"{indent}{number}. {step}")
    if explanation.lost:
        click.echo(f"{indent}dropped or ignored here:")
        for problem in explanation.lost:
            click.echo(f"{indent}  {problem_line(problem)}")


def print_routes(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print the routes as a table, one chain a row."""
    titles = ("PORT", "PROTOCOL", "HOSTS", "GATEWAY", "VIRTUAL SERVICE", "DESTINATIONS", "ENDPOINTS")
    print_table(titles, [_route_cells(row) for row in rows])


def _route_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    destinations = row["destinations"]
    several = len(destinations) > 1
    return (
        _port_text(row),
        row["protocol"] + (f"\n{row['proxy_protocol']['mode']} PROXY header" if row.get("proxy_protocol") else ""),
        "\n".join(row["hosts"]),
        row["gateway"],
        row["virtual_service"] or "-",
        "\n".join(each["name"] + (f" ({each['weight']})" if several else "") for each in destinations)
        or f"closed: {row['refusal']}",
        "\n".join(", ".join(each["endpoints"]) or f"none ({each['missing_code']})" for each in destinations),
    )


def _port_text(row: Mapping[str, Any]) -> str:
    """The port of a route, after the port that clients connect to if the Service of the gateway translates it."""
    listener = str(ListenerKey(row["bind"], row["port"]))
    clients = row.get("client_ports", [row["port"]])
    return listener if clients == [row["port"]] else f"{', '.join(map(str, clients))} → {listener}"


def print_case(case: Case, file: Path, differences: Sequence[str], explanation: Explanation) -> None:
    """Print an expectation on a line; if it fails, with the differences and the steps of the connection."""
    call = call_text(case.expectation.call)
    title = f"{case.name} ({call})" if case.name else call
    if not differences:
        click.echo(f"{click.style('ok', fg='green')}    {title}")
        return
    click.echo(f"{click.style('FAIL', fg='red', bold=True)}  {title}, {file}:{case.line}")
    for difference in differences:
        click.echo(f"      {difference}")
    print_steps(explanation, "        ")


def print_kinds(kinds: Iterable[Kind]) -> None:
    """Print the kinds that are read, with their apiVersions."""
    rows = [
        (kind.name, kind.short_name or "-", ", ".join(kind.api_versions), kind_entry(kind).description)
        for kind in kinds
    ]
    print_table(("KIND", "SHORT", "API VERSIONS", "WHAT IT IS"), rows)


def print_entry(entry: Entry) -> None:
    """Print a field with its meaning, and the fields below it."""
    click.secho(str(entry), bold=True)
    if len(entry.path) > 1:
        click.echo("  " + "; ".join(each for each in (entry.type, entry.presence()) if each))
    click.echo(f"  {entry.description}")
    if entry.fields:
        click.echo(f"  {entry.about}\n" if entry.about else "")
        rows = [
            (field.name, field.type, field.presence().removeprefix("default ") or "-", field.description)
            for field in entry.fields
        ]
        print_table(("FIELD", "TYPE", "DEFAULT", "MEANING"), rows)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """
    Print a table, folded to the width of a terminal; in a file or a pipe, nothing is folded.

    :param rows: a cell of each column; cells may have several lines, and may be styled.
    """
    click.echo(table_text(titles, rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))


def table_text(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """
    Make a table whose columns are as wide as their longest line.

    If that is too wide, long texts continue on further lines, but never inside a word. If that does not help, each row
    becomes a record of one line a column.

    :param rows: as in :func:`print_table`.
    :param width: the number of characters in a line; None if there is no limit.
    """
    widths = [max(map(_width, lines)) for lines in _columns(titles, rows)]
    room = sum(widths) if width is None else width - len(_GAP) * (len(widths) - 1)
    if sum(widths) > room:
        narrowest = [max(map(_longest_word, lines)) for lines in _columns(titles, rows)]
        if sum(narrowest) > room:
            return "\n\n".join(_record(titles, row, width or 0) for row in rows)
        widths = _narrowed(widths, narrowest, room)
    head = [click.style(title, bold=True) for title in titles]
    return "\n".join(line for row in (head, *rows) for line in _row_lines(row, widths))


def _columns(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The lines of each column."""
    for index, title in enumerate(titles):
        yield [title, *(line for row in rows for line in row[index].split("\n"))]


def _width(text: str) -> int:
    """The number of characters of a text that a terminal shows."""
    return len(click.unstyle(text) if "\x1b" in text else text)


def _longest_word(line: str) -> int:
    return max(map(_width, line.split(" ")))


def _narrowed(widths: Sequence[int], narrowest: Sequence[int], room: int) -> list[int]:
    """Take from the widest columns until the table fits, and from none more than its longest word allows."""
    limit = max(widths)
    while sum(fitted := [max(min(width, limit), least) for width, least in zip(widths, narrowest, strict=True)]) > room:
        limit -= 1
    return fitted


def _row_lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    cells = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
    for texts in zip_longest(*cells, fillvalue=""):
        padded = (text + " " * (width - _width(text)) for text, width in zip(texts, widths, strict=True))
        yield _GAP.join(padded).rstrip()


def _folded(text: str, width: int) -> list[str]:
    """The lines of a text, those that are longer than a width divided between words."""
    if len(text) <= width and "\n" not in text:
        return [text]
    lines = []
    for line in text.split("\n"):
        fits = _width(line) <= width
        lines += [line] if fits else textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
    return lines


def _record(titles: Sequence[str], row: Sequence[str], width: int) -> str:
    """A row as one line a column, with the title before it. Empty cells are left out."""
    left = max(map(len, titles))
    room = max(1, width - left - len(_GAP))
    lines = []
    for title, cell in zip(titles, row, strict=True):
        for number, text in enumerate(_folded(cell, room) if cell else ()):
            head = title.ljust(left) if number == 0 else " " * left
            lines.append(f"{click.style(head, bold=True)}{_GAP}{text}")
    return "\n".join(lines)


def print_traffic_diff(changes: TrafficDiff) -> None:
    """Print the changes: ports with their names below, then endpoints and policies, and a line that counts them."""
    ports = {change.listener: change for change in changes.ports}
    for listener in sorted({*ports, *(change.listener for change in changes.names)}):
        _print_port(f"port {listener}", ports.get(listener))
        for change in changes.names:
            if change.listener == listener:
                _print_change(_name_mark(change), f"{change.name} {_name_change(change)}", "    ")
    for endpoints_change in changes.endpoints:
        _print_endpoints(endpoints_change)
    for policy_change in changes.policies:
        _print_policy(policy_change)
    for access_change in changes.access:
        _print_access(access_change)
    if changes:
        counts = [
            (len(changes.ports), "port"),
            (len(changes.names), "name"),
            (len(changes.endpoints), "destination"),
            (len(changes.policies), "policy"),
            (len(changes.access), "access list"),
        ]
        texts = [count_of(number, noun) for number, noun in counts if number]
        click.echo(f"{' and '.join([', '.join(texts[:-1]), texts[-1]]) if texts[1:] else texts[0]} changed")
    else:
        click.echo("nothing changes for traffic")


def _print_change(mark: str, text: str, indent: str = "") -> None:
    click.secho(f"{indent}{mark} {text}", fg={"+": "green", "-": "red", "~": "yellow"}[mark])


def _print_port(port: str, change: PortChange | None) -> None:
    if change is None:
        click.echo(f"  {port}")
    elif change.before is None or change.after is None:
        opened = change.after is not None
        _print_change("+" if opened else "-", f"{port} {'opens' if opened else 'closes'}")
    else:
        _print_change("~", f"{port} changes: {_port_mode(change.before)} → {_port_mode(change.after)}")


def _port_mode(mode: PortMode) -> str:
    first = "TLS, the first bytes decide" if mode.sniffs else "plain TCP"
    if mode.dual_stack:
        first = f"{first}, IPv4 and IPv6"
    return f"{first}, {mode.header}" if mode.header else first


def _name_mark(change: NameChange) -> str:
    return {"appears": "+", "served": "+", "disappears": "-", "refused": "-"}.get(change.kind, "~")


def _name_change(change: NameChange) -> str:
    before, after = change.before, change.after
    if before is None or after is None:
        return f"→ {_outcome(after)}" if after is not None else f"is closed; before, it went to {_outcome(before)}"
    if change.kind == "termination":
        return f"{'ends TLS at the gateway' if after.terminate else 'passes TLS through'} → {_outcome(after)}"
    verb = {"moves": "moves", "weights": "is shared otherwise", "refused": "is refused", "served": "is served"}
    return f"{verb[change.kind]}: {_outcome(before)} → {_outcome(after)}"


def _outcome(outcome: Outcome | None) -> str:
    if outcome is None:
        return "nothing"
    several = len(outcome.shares) > 1
    names = [name + (f" {float(share * 100):.4g}%" if several else "") for name, share in outcome.shares]
    return ", ".join(names + [f"closed ({outcome.refusal})"] * bool(outcome.refusal)) or "no destination"


def _print_endpoints(change: EndpointsChange) -> None:
    click.echo(f"  destination {change.destination}, for {count_of(len(change.names), 'name')}")
    weighted = len({endpoint.weight for endpoint in (*change.before, *change.after)}) > 1
    for mark, endpoints in (("-", change.removed), ("+", change.added)):
        for endpoint in endpoints:
            _print_change(mark, f"{endpoint}" + (f" (weight {endpoint.weight})" if weighted else ""), "    ")
    if not change.after:
        click.echo("    no endpoints are left")


def _print_policy(change: PolicyChange) -> None:
    target = f"to {change.destination}, " if change.destination else ""
    click.echo(f"  connections {target}for {count_of(len(change.names), 'name')}")
    before, after = (text or "as in the settings" for text in (change.before, change.after))
    _print_change("~", f"{before} → {after}", "    ")


MOST_NETWORKS: Final = 20
"""The networks of a change of an access list that are printed; a list may have thousands."""


def _print_access(change: AccessChange) -> None:
    click.echo(f"  clients, for {count_of(len(change.names), 'name')}")
    before, after = change.before, change.after
    differences = list(change.differences())
    for mark, word, network in differences[:MOST_NETWORKS]:
        _print_change(mark, f"{word} {network}", "    ")
    if len(differences) > MOST_NETWORKS:
        click.echo(f"    and {len(differences) - MOST_NETWORKS} more networks")
    if bool(before.allow) is not bool(after.allow):
        text = "clients outside of allow are refused" if after.allow else "a client need not be in allow any more"
        _print_change("~", text, "    ")
    if before.dry_run is not after.dry_run:
        _print_change("~", "a dry run: nobody is refused" if after.dry_run else "no dry run any more", "    ")
