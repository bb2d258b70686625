"""How the status of a gateway looks in a terminal: what it is, what it does, what is wrong. Text only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.markup import escape

from meshgate.report import count_of, make_table, print_problems, print_routes, print_table
from meshgate.resources.codes import CODES
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.routing.outliers import TRIED_LAST
from meshgate.routing.table import ListenerKey

NAMES_SHOWN: Final = 10
"""How many names that resolve are shown unless all are asked for."""


def print_status(document: Mapping[str, Any], *, everything: bool = False) -> None:
    """
    What a gateway has in force, or had: process, figures, ports, routes, resources, problems.

    :param document: as :func:`meshgate.state.status_text.read_status` gives it.
    :param everything: list the resources without a problem, and all names, too.
    """
    now = datetime.now(UTC)
    process = document["process"]
    if document["running"]:
        _print_running(document, process)
    else:
        click.echo(f"meshgate is not running: {_last_end(process)}")
    if "generation" not in document:
        return
    written = "" if document["running"] else f"; last written by process {document['pid']}, this was in force"
    click.echo(f"generation {document['generation']}, of {document['updated']}; started {document['started']}{written}")
    if document["running"]:
        _print_figures(document, now, everything)
    for listener in document["listeners"]:
        state = listener["state"]
        mark = click.style(state, fg="red") if state == "failed" else state
        reason = f": {listener['reason']}" if listener["reason"] else ""
        address = ListenerKey(listener["bind"], listener["port"])
        click.echo(f"port {address} {listener['protocol']} {mark}{reason}")
    click.echo()
    print_routes(document["routes"])
    click.echo()
    _print_resources(document.get("resources", ()), everything)
    click.echo()
    print_problems([_problem(values) for values in document["problems"]])


def _print_running(document: Mapping[str, Any], process: Mapping[str, Any]) -> None:
    known = {**process, **document}
    which = f", process {known['pid']}" if "pid" in known else ""
    click.echo(f"meshgate {known.get('version', '')}{which}, running")
    if "not_written" in process:
        click.echo(f"its status cannot be written, so what is shown is old: {process['not_written']}")
    elif "generation" not in document:
        click.echo("it has not written its status yet")


def _last_end(process: Mapping[str, Any]) -> str:
    """What became of the process that held the state folder last."""
    if not process:
        return "there is no trace of its process"
    which = f"process {process.get('pid')}, started {process.get('started')},"
    if "ended" in process:
        return f"{which} {process['end']} at {process['ended']}"
    return f"{which} {process.get('end', 'was killed, or the machine stopped')}"


def _print_figures(document: Mapping[str, Any], now: datetime, everything: bool) -> None:
    """What changes all the time. Nothing of it is there before it was written for the first time."""
    if "connections" not in document:
        return
    ended: Mapping[str, int] = document["ended"]
    how = ", ".join(f"{number} {ending}" for ending, number in ended.items())
    ends = f"{sum(ended.values())} have ended: {how}" if ended else "none has ended"
    click.echo(f"{count_of(document['connections'], 'connection')}; {ends}")
    if document["live_generation"] < document["generation"]:
        click.echo(f"generation {document['live_generation']} is the last that all workers serve")
    if len(document["workers"]) > 1:
        _print_workers(document["workers"])
    for provider in document["providers"]:
        _print_provider(provider, now)
    _print_names(document["names"], now, everything)
    for each in document["failing_endpoints"]:
        what = f"endpoint {each['endpoint']} of {each['destination']}"
        if each["state"] == TRIED_LAST:
            click.echo(f"{what} fails: it is tried last, and once more at {each['until']}")
        else:
            workers = f" from {count_of(each['workers'], 'worker')}" if len(document["workers"]) > 1 else ""
            click.echo(f"{what} fails: it gets no connections{workers} until {each['until']}")


def _print_workers(workers: Iterable[Mapping[str, Any]]) -> None:
    for worker in workers:
        process = "no process" if worker["pid"] is None else f"process {worker['pid']}"
        connections, restarts = worker["connections"], worker["restarts"]
        click.echo(f"worker {worker['worker']}: {process}, {connections} connections, replaced {restarts} times")


def _print_provider(provider: Mapping[str, Any], now: datetime) -> None:
    published, failing = provider["published"], provider["failing_since"]
    text = "nothing yet"
    if published is not None:
        text = f"{count_of(provider['resources'], 'resource')}, of {_age(published, now)} ago"
    if failing is not None:
        text += f"; it has failed for {_age(failing, now)}: {provider['reason']}"
    click.echo(f"provider {provider['name']}: {text}")


def _print_names(names: Sequence[Mapping[str, Any]], now: datetime, everything: bool) -> None:
    """The names of endpoints, those that cannot be resolved first."""
    failing = [each for each in names if each["failing_since"] is not None]
    resolved = [each for each in names if each["failing_since"] is None]
    shown = resolved if everything else resolved[:NAMES_SHOWN]
    for each in (*failing, *shown):
        text = "is being asked for"
        if each["answered"] is not None:
            text = f"{', '.join(each['addresses'])}, of {_age(each['answered'], now)} ago"
        elif each["failing_since"] is not None:
            text = "no address"
        if each["failing_since"] is not None:
            text += f"; it cannot be resolved for {_age(each['failing_since'], now)}: {each['reason']}"
        click.echo(f"name {each['name']}: {text}")
    if len(shown) < len(resolved):
        click.echo(f"and {count_of(len(resolved) - len(shown), 'name')} more that resolve; --all shows them")


def _age(moment: str, now: datetime) -> str:
    """How long ago a moment was, in its largest unit."""
    seconds = max(0, int((now - datetime.fromisoformat(moment)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _print_resources(resources: Sequence[Mapping[str, Any]], everything: bool) -> None:
    """What became of resources, those with a problem first. Its text is among the problems; here it is its code's."""
    table = make_table(("KIND", "NAME", "ACCEPTED", "PROGRAMMED", "CONFLICTED", "REASONS"), ())
    faulty = [each for each in resources if _has_problem(each)]
    sound = (each for each in resources if everything and not _has_problem(each))
    for each in (*faulty, *sound):
        table.add_row(
            escape(each["kind"]),
            escape(f"{each['namespace']}/{each['name']}"),
            "yes" if each["accepted"] else "[red]no",
            "yes" if each["programmed"] else "no",
            "[yellow]yes" if each["conflicted"] else "no",
            escape(", ".join(_titles(each["reasons"]))),
        )
    if table.row_count:
        print_table(table)
    total = count_of(len(resources), "resource")
    if not faulty:
        click.echo(f"{total}, none with a problem")
    else:
        more = "; --all shows the others, too" if len(faulty) < len(resources) and not everything else ""
        click.echo(f"{len(faulty)} of {total} {'has' if len(faulty) == 1 else 'have'} a problem{more}")


def _has_problem(resource: Mapping[str, Any]) -> bool:
    return bool(resource["reasons"]) or resource["conflicted"] or not resource["accepted"]


def _titles(reasons: Iterable[str]) -> list[str]:
    """What the codes of reasons say, each once."""
    codes = dict.fromkeys(reason.partition(":")[0] for reason in reasons)
    return [f"{code}: {CODES[code]}" if code in CODES else code for code in codes]


def _problem(values: Mapping[str, Any]) -> Problem:
    return Problem(**{**values, "severity": Severity(values["severity"]), "phase": Phase(values["phase"])})
