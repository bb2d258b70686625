"""``meshgate test``: routes, tested against a file of expectations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.cli.sources import Gateway, Source, gateway_options
from meshgate.report import call_text, print_case, problem_line
from meshgate.resources.problem import Problem
from meshgate.resources.wording import count_of
from meshgate.routing.tell.explain import explain, mismatches
from meshgate.settings.expectation_file import Case, Expectations, ExpectationsError, load_expectations

BROKEN: Final = 2
"""The exit status if the expectations or the routes cannot be used."""


@click.command("test")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("paths", metavar="[PATH]...", type=click.Path(), nargs=-1)
@FORMAT
@gateway_options
def command(gateway: Gateway, file: Path, paths: tuple[str, ...], form: str) -> None:
    """Test routes against a file of expectations.

    FILE lists connections in YAML, and for each the VirtualService, Gateway or destination that should take it, that it
    should be closed, or that nothing should listen. PATH replaces the routes that FILE names. Exits with 1 if an
    expectation fails, and with 2 if FILE or the routes cannot be read.
    """
    try:
        expectations = load_expectations(file)
    except ExpectationsError as error:
        _print_problems(error.problems)
        raise SystemExit(BROKEN) from None
    _print_problems(expectations.warnings)
    source = _source(gateway, expectations, paths)
    _, compilation = source.answer(unread=BROKEN)
    failed = 0
    rows: list[dict[str, Any]] = []
    for case in expectations.cases:
        explanation = explain(compilation, case.expectation.call, source.access)
        differences = mismatches(case.expectation, explanation, source.proxy.domain_suffix)
        failed += bool(differences)
        if form == "json":
            rows.append({**_facts(case, file), "differences": differences, "explanation": explanation.as_json()})
        else:
            print_case(case, file, differences, explanation)
    held = len(expectations.cases) - failed
    if form == "json":
        print_json({"expectations": rows, "held": held, "failed": failed})
    else:
        total = count_of(len(expectations.cases), "expectation")
        verb = "holds" if len(expectations.cases) == 1 else "hold"
        click.echo(f"{held} of {total} {verb}" + (f", {failed} failed" if failed else ""))
    raise SystemExit(1 if failed else 0)


def _source(gateway: Gateway, expectations: Expectations, paths: tuple[str, ...]) -> Source:
    chosen = paths or expectations.routes
    if not chosen and gateway.settings is None:
        raise click.UsageError("there are no routes to test: name a PATH, or write routes into FILE")
    return gateway.source(
        chosen,
        labels=expectations.labels,
        namespace=expectations.namespace,
        default_namespace=expectations.default_namespace,
        domain_suffix=expectations.domain_suffix,
        semantics=expectations.semantics,
    )


def _facts(case: Case, file: Path) -> dict[str, Any]:
    return {"name": case.name or call_text(case.expectation.call), "file": str(file), "line": case.line}


def _print_problems(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        click.echo(problem_line(problem), err=True)
