"""``meshgate check``: every problem of routes, for people, programs and continuous integration."""

from __future__ import annotations

from collections.abc import Iterable

import click

from meshgate.cli.formats import sarif_log, workflow_command
from meshgate.cli.output import print_json
from meshgate.cli.sources import Source, route_options
from meshgate.report import print_problems
from meshgate.resources.problem import Problem, Severity
from meshgate.routing.compile.known_gateways import short_names

FORMATS = ("text", "json", "github", "sarif")
FAILING = {"error": {Severity.ERROR}, "warning": {Severity.ERROR, Severity.WARNING}}


@click.command("check")
@click.option(
    "--fail-on",
    type=click.Choice(list(FAILING)),
    default="error",
    show_default=True,
    help="The lowest severity that makes the exit status 1.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Output: text for people, json or sarif for programs, github to annotate a pull request.",
)
@route_options
def command(source: Source, fail_on: str, form: str) -> None:
    """Report every problem of routes.

    Problems include everything that Istio would drop or ignore without a word, at each gateway that the routes show.
    Exits with 1 if there is an error.
    """
    loaded, judged, found = source.judge()
    problems = _by_location(found)
    if form == "json":
        content = {
            "problems": [problem.as_json() for problem in problems],
            "resources": loaded.counts.valid + loaded.counts.invalid,
            "invalid": loaded.counts.invalid,
            "gateways": [each.qualified_name for each in judged],
        }
        print_json(content)
    elif form == "sarif":
        print_json(sarif_log(problems))
    elif form == "github":
        for problem in problems:
            click.echo(workflow_command(problem))
    else:
        print_problems(problems, loaded.counts, short_names(judged))
    raise SystemExit(1 if any(problem.severity in FAILING[fail_on] for problem in problems) else 0)


def _by_location(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems by file, and those of one file by line."""
    return sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))
