"""How results look in a terminal: problems, routes, status. Text and tables only; decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from meshgate.resources.problem import Phase, Problem, Severity

COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
UNBOUNDED_WIDTH = 10_000
"""The width of a table that goes to a file or a pipe: nothing is cut there."""


def problem_line(problem: Problem) -> str:
    """A problem as compilers print it, its severity colored."""
    plain = f"{problem.severity.value}[{problem.code}]"
    styled = click.style(plain, fg=COLORS[problem.severity], bold=problem.severity is Severity.ERROR)
    return str(problem).replace(plain, styled, 1)


def print_problems(problems: Sequence[Problem], resources: int | None = None) -> None:
    """
    Every problem on a line, and a closing line that counts them.

    :param resources: how many resources were read; None leaves that out.
    """
    for problem in problems:
        click.echo(problem_line(problem))
    counts = Counter(problem.severity for problem in problems)
    parts = [_count(counts[severity], severity.value) for severity in Severity if counts[severity]]
    found = ", ".join(parts) or "no problems"
    click.echo(found + (f" in {_count(resources, 'resource')}" if resources is not None else ""))


def print_routes(rows: Iterable[Mapping[str, Any]]) -> None:
    """The routes as a table, one chain a row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("PORT", "PROTOCOL", "HOSTS", "GATEWAY", "VIRTUAL SERVICE", "DESTINATIONS", "ENDPOINTS"):
        table.add_column(title, overflow="fold")
    for row in rows:
        listener = f"{row['port']}" if row["bind"] == "0.0.0.0" else f"{row['bind']}:{row['port']}"  # noqa: S104
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
    """A table to standard output: folded to the terminal's width, whole lines anywhere else."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=UNBOUNDED_WIDTH, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 or noun == "info" else "s")


def print_status(document: Mapping[str, Any]) -> None:
    """What the running gateway has in force: process, ports, routes, problems."""
    state = "running" if document["running"] else "stopped"
    click.echo(f"meshgate {document['version']}, process {document['pid']}, {state}")
    click.echo(f"generation {document['generation']}, of {document['updated']}; started {document['started']}")
    for listener in document["listeners"]:
        mark = click.style("failed", fg="red") if listener["state"] == "failed" else "open"
        reason = f": {listener['reason']}" if listener["reason"] else ""
        click.echo(f"port {listener['bind']}:{listener['port']} {listener['protocol']} {mark}{reason}")
    click.echo()
    print_routes(document["routes"])
    click.echo()
    print_problems([_problem(values) for values in document["problems"]])


def _problem(values: Mapping[str, Any]) -> Problem:
    return Problem(**{**values, "severity": Severity(values["severity"]), "phase": Phase(values["phase"])})
