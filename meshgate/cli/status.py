"""``meshgate status``: the status of the running gateway."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.report import print_problems, print_routes, print_table
from meshgate.resources.codes import CODES
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.resources.wording import count_of
from meshgate.routing.failing_endpoints import TRIED_LAST, UNHEALTHY
from meshgate.routing.table import ListenerKey
from meshgate.routing.tell.statuses import ResourceCounts
from meshgate.settings.file import read_mapping
from meshgate.settings.load import FORM, SettingsError
from meshgate.settings.schema import SettingsFile
from meshgate.state.status_text import read_status

DEFAULT_CONFIGS: Final = (Path("meshgate.yaml"), Path("etc/meshgate.yaml"))
"""The settings files that are looked for in the current folder, in this order."""

NOT_RUNNING: Final = 3
"""The exit status for a program that does not run, as in init scripts."""

NAMES_SHOWN: Final = 10
"""The number of resolved names to show without ``--all``."""


@click.command("status")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The settings file of the running gateway. [default: ./meshgate.yaml, or else etc/meshgate.yaml]",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The state folder of the running gateway, in place of its settings.",
)
@click.option("--all", "everything", is_flag=True, help="List also the resources without a problem, and all names.")
@FORMAT
def command(config: Path | None, state_dir: Path | None, everything: bool, form: str) -> None:
    """Show the status of the running gateway: ports, routes, resources and problems.

    If no gateway runs, the last status is shown, and the exit status is 3; in JSON, running is false.

    A resource is accepted if it is valid and for this gateway, programmed if any of it is in force, and conflicted if
    it and another resource ask for the same. The problems at the end give the reasons in full.
    """
    if config is not None and state_dir is not None:
        raise click.UsageError("--config and --state-dir exclude each other: the settings name the state folder")
    folder = state_dir if state_dir is not None else state_dir_of(config or default_config())
    try:
        document = read_status(folder)
    except FileNotFoundError:
        if form == "json":
            print_json({"running": False})
        else:
            click.echo(f"not running: no gateway has ever run with the state folder {folder}")
        raise SystemExit(NOT_RUNNING) from None
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if form == "json":
        print_json(document)
    else:
        _print_status(document, everything=everything)
    if not document["running"]:
        raise SystemExit(NOT_RUNNING)


def default_config() -> Path:
    """
    Return the settings file of the current folder.

    :raises UsageError: if there is none.
    """
    for file in DEFAULT_CONFIGS:
        if file.is_file():
            return file
    raise click.UsageError(
        f"there is no {' and no '.join(map(str, DEFAULT_CONFIGS))} here: name the settings with --config, or the state "
        "folder with --state-dir"
    )


def state_dir_of(config: Path) -> Path:
    """
    Return the state folder that a settings file names.

    The rest of the file does not matter: a gateway that runs goes on with its former settings while users edit the
    file. If the file cannot be read at all, the state folder is the one that settings have by default.
    """
    named = None
    try:
        named = read_mapping(config, FORM).value.get("state_dir")
    except SettingsError as error:
        click.echo(error, err=True)
    return Path(os.path.abspath(config.parent / (named if isinstance(named, str) else SettingsFile().state_dir)))


def _print_status(document: Mapping[str, Any], *, everything: bool = False) -> None:
    """
    Print the status of a gateway: process, figures, ports, routes, resources and problems.

    :param document: from :func:`meshgate.state.status_text.read_status`.
    :param everything: list also the resources without a problem, and all names.
    """
    now = datetime.now(UTC)
    process = document["process"]
    if document["running"]:
        _print_running(document, process)
    else:
        click.echo(f"meshgate is not running: {_last_end(process)}")
    if "generation" not in document:
        return
    author = "" if document["running"] else f"; the last status of process {document['pid']}"
    click.echo(f"generation {document['generation']}, of {document['updated']}; started {document['started']}{author}")
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
    problems = [_problem(values) for values in document["problems"]]
    rows = document.get("resources", ())
    # The status of an older version has no counts.
    counts = ResourceCounts(**document.get("counts", {"valid": len(rows)}))
    _print_resources(rows, problems, counts, everything)
    click.echo()
    print_problems(problems, counts)


def _print_running(document: Mapping[str, Any], process: Mapping[str, Any]) -> None:
    facts = {**process, **document}
    which = f", process {facts['pid']}" if "pid" in facts else ""
    click.echo(f"meshgate {facts.get('version', '')}{which}, running")
    if "not_written" in process:
        click.echo(f"the gateway cannot write its status, which is therefore old: {process['not_written']}")
    elif "generation" not in document:
        click.echo("the gateway has not written its status yet")


def _last_end(process: Mapping[str, Any]) -> str:
    """Describe how the last process of a state folder ended."""
    if not process:
        return "nothing is known of its last process"
    which = f"process {process.get('pid')}, started {process.get('started')},"
    if "ended" in process:
        return f"{which} {process['end']} at {process['ended']}"
    return f"{which} {process.get('end', 'was killed, or the machine stopped')}"


def _print_figures(document: Mapping[str, Any], now: datetime, everything: bool) -> None:
    """Print the figures, if the gateway has written them yet."""
    if "connections" not in document:
        return
    ended: Mapping[str, int] = document["ended"]
    how = ", ".join(f"{number} {ending}" for ending, number in ended.items())
    total = sum(ended.values())
    ends = f"{total} {'has' if total == 1 else 'have'} ended: {how}" if ended else "none has ended"
    click.echo(f"{count_of(document['connections'], 'connection')}; {ends}")
    if document["live_generation"] < document["generation"]:
        click.echo(f"generation {document['live_generation']} is the last that all workers serve")
    if len(document["workers"]) > 1:
        _print_workers(document["workers"])
    for provider in document["providers"]:
        _print_provider(provider, now)
    _print_names(document["names"], now, everything)
    for each in document["failing_endpoints"]:
        endpoint = f"endpoint {each['endpoint']} of {each['destination']}"
        if each["state"] == UNHEALTHY:
            click.echo(f"{endpoint} fails its health check, and gets no connections: {each['reason']}")
        elif each["state"] == TRIED_LAST:
            click.echo(f"{endpoint} fails: it is tried last, and again at {each['until']}")
        else:
            workers = f" from {count_of(each['workers'], 'worker')}" if len(document["workers"]) > 1 else ""
            click.echo(f"{endpoint} fails: it gets no connections{workers} until {each['until']}")


def _print_workers(workers: Iterable[Mapping[str, Any]]) -> None:
    for worker in workers:
        process = "no process" if worker["pid"] is None else f"process {worker['pid']}"
        connections, restarts = (count_of(worker[key], key.removesuffix("s")) for key in ("connections", "restarts"))
        click.echo(f"worker {worker['worker']}: {process}, {connections}, {restarts}")


def _print_provider(provider: Mapping[str, Any], now: datetime) -> None:
    published, failing = provider["published"], provider["failing_since"]
    text = "has published nothing yet"
    if published is not None:
        text = f"{count_of(provider['resources'], 'resource')}, published {_age(published, now)} ago"
    if failing is not None:
        text += f"; has failed for {_age(failing, now)}: {provider['reason']}"
    click.echo(f"provider {provider['name']}: {text}")


def _print_names(names: Sequence[Mapping[str, Any]], now: datetime, everything: bool) -> None:
    """Print the names of endpoints, those that cannot be resolved first."""
    failing = [each for each in names if each["failing_since"] is not None]
    resolved = [each for each in names if each["failing_since"] is None]
    shown = resolved if everything else resolved[:NAMES_SHOWN]
    for each in (*failing, *shown):
        text = "is being resolved"
        if each["answered"] is not None:
            text = f"{', '.join(each['addresses'])}, resolved {_age(each['answered'], now)} ago"
        elif each["failing_since"] is not None:
            text = "no address"
        if each["failing_since"] is not None:
            text += f"; has failed to resolve for {_age(each['failing_since'], now)}: {each['reason']}"
        click.echo(f"name {each['name']}: {text}")
    if len(shown) < len(resolved):
        click.echo(f"and {count_of(len(resolved) - len(shown), 'more name')}; --all shows them")


def _age(moment: str, now: datetime) -> str:
    """Return the time since a moment, in its largest unit."""
    seconds = max(0, int((now - datetime.fromisoformat(moment)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _print_resources(
    resources: Sequence[Mapping[str, Any]], problems: Iterable[Problem], counts: ResourceCounts, everything: bool
) -> None:
    """
    Print the conditions of resources, those with a problem first. The reasons are the titles of the codes.

    :param problems: of everything; resources without a condition may have some, too.
    :param counts: of all resources.
    """
    faulty = [each for each in resources if _has_problem(each)]
    sound = [each for each in resources if everything and not _has_problem(each)]
    if faulty or sound:
        titles = ("KIND", "NAME", "ACCEPTED", "PROGRAMMED", "CONFLICTED", "REASONS")
        print_table(titles, [_resource_cells(each) for each in (*faulty, *sound)])
    grave = [problem for problem in problems if problem.severity is not Severity.INFO]
    concerned = {(each["kind"], each["namespace"], each["name"]) for each in faulty}
    concerned |= {(problem.kind, problem.namespace, problem.name) for problem in grave if problem.name}
    total = count_of(counts.valid + counts.invalid, "resource")
    if not concerned:
        click.echo(f"{total}, none with a problem{' of its own' if grave else ''}")
    else:
        more = "; --all shows the others as well" if len(faulty) < len(resources) and not everything else ""
        click.echo(f"{len(concerned)} of {total} {'has' if len(concerned) == 1 else 'have'} a problem{more}")


def _resource_cells(resource: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        resource["kind"],
        f"{resource['namespace']}/{resource['name']}",
        "yes" if resource["accepted"] else click.style("no", fg="red"),
        "yes" if resource["programmed"] else "no",
        click.style("yes", fg="yellow") if resource["conflicted"] else "no",
        ", ".join(_titles(resource["reasons"])),
    )


def _has_problem(resource: Mapping[str, Any]) -> bool:
    return bool(resource["reasons"]) or resource["conflicted"] or not resource["accepted"]


def _titles(reasons: Iterable[str]) -> list[str]:
    """Return the titles of the reasons' codes, each once."""
    codes = dict.fromkeys(reason.partition(":")[0] for reason in reasons)
    return [f"{code}: {CODES[code]}" if code in CODES else code for code in codes]


def _problem(values: Mapping[str, Any]) -> Problem:
    """A problem from its JSON form, which also has what follows from it, and what other versions add."""
    known = {field.name: values[field.name] for field in fields(Problem) if field.name in values}
    return Problem(**{**known, "severity": Severity(values["severity"]), "phase": Phase(values["phase"])})
