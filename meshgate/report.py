"""Results as text and tables for a terminal: problems, routes, changes and fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meshgate.resources.codes import CODES_PAGE, help_uri
from meshgate.resources.field_reference import Entry, kind_entry
from meshgate.resources.kinds.supported_kinds import Kind
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import count_of
from meshgate.routing.table import ListenerKey
from meshgate.routing.tell.explain import Call, Explanation
from meshgate.routing.tell.traffic_diff import (
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
UNBOUNDED_WIDTH = 10_000
"""The width of a table in a file or a pipe, wide enough that nothing is folded."""


def problem_line(problem: Problem) -> str:
    """Write a problem as compilers do, with its severity in color."""
    plain = f"{problem.severity.value}[{problem.code}]"
    styled = click.style(plain, fg=COLORS[problem.severity], bold=problem.severity is Severity.ERROR)
    return str(problem).replace(plain, styled, 1)


def print_problems(problems: Sequence[Problem], resources: int | None = None) -> None:
    """
    Print every problem on a line, and a last line that counts them.

    :param resources: the number of resources read, for the last line; None leaves it out.
    """
    for problem in problems:
        click.echo(problem_line(problem))
    codes = {problem.code for problem in problems}
    if codes:
        one = codes.pop() if len(codes) == 1 else ""
        click.echo(f"{one} is explained at {help_uri(one)}" if one else f"the codes are explained at {CODES_PAGE}")
    click.echo(problem_count(problems) + (f" in {count_of(resources, 'resource')}" if resources is not None else ""))


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
    table = make_table(("PORT", "PROTOCOL", "HOSTS", "GATEWAY", "VIRTUAL SERVICE", "DESTINATIONS", "ENDPOINTS"), ())
    for row in rows:
        listener = str(ListenerKey(row["bind"], row["port"]))
        several = len(row["destinations"]) > 1
        table.add_row(
            listener,
            row["protocol"],
            "\n".join(row["hosts"]),
            row["gateway"],
            row["virtual_service"] or "-",
            "\n".join(d["name"] + (f" ({d['weight']})" if several else "") for d in row["destinations"])
            or f"closed: {row['refusal']}",
            "\n".join(", ".join(d["endpoints"]) or d["missing"] for d in row["destinations"]),
        )
    print_table(table)


def print_table(table: Table) -> None:
    """Print a table, folded to the width of a terminal; in a file or a pipe, nothing is folded."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=UNBOUNDED_WIDTH, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


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
    rows = [(kind.name, ", ".join(kind.api_versions), kind_entry(kind).description) for kind in kinds]
    print_table(make_table(("KIND", "API VERSIONS", "WHAT IT IS"), rows))


def print_entry(entry: Entry) -> None:
    """Print a field with its meaning, and the fields below it."""
    click.secho(str(entry), bold=True)
    if len(entry.path) > 1:
        click.echo("  " + "; ".join(each for each in (entry.type, entry.presence()) if each))
    click.echo(f"  {entry.description}")
    if entry.fields:
        click.echo(f"  {entry.about}\n" if entry.about else "")
        rows = [(field.name, field.type, field.presence(), field.description) for field in entry.fields]
        print_table(make_table(("FIELD", "TYPE", "DEFAULT", "MEANING"), [_plain_default(*row) for row in rows]))


def _plain_default(name: str, kind: str, presence: str, meaning: str) -> tuple[str, ...]:
    return name, kind, presence.removeprefix("default ") or "-", meaning


def make_table(titles: Iterable[str], rows: Iterable[Sequence[str]]) -> Table:
    """Make a table without lines; long texts are folded."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


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
    if changes:
        counts = [
            (len(changes.ports), "port"),
            (len(changes.names), "name"),
            (len(changes.endpoints), "destination"),
            (len(changes.policies), "policy"),
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
    return f"{first}, IPv4 and IPv6" if mode.dual_stack else first


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
