"""``meshgate test``: routes held against what somebody expects of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.cli.sources import Gateway, Source, gateway_options
from meshgate.report import call_text, print_case, problem_line
from meshgate.resources.problem import Problem
from meshgate.routing.tell.expectation import mismatches
from meshgate.routing.tell.explain import explain
from meshgate.settings.expectation_file import Case, Expectations, ExpectationsError, load_expectations


@click.command("test")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@FORMAT
@gateway_options
def command(gateway: Gateway, file: Path, paths: tuple[str, ...], form: str) -> None:
    """Hold routes against a file of expectations.

    FILE says in YAML what is to become of connections: which VirtualService, Gateway or destination takes them, that
    they are closed, or that nothing listens. PATH stands in for the routes that FILE names. Exits with 1 when an
    expectation fails, and with 2 when FILE cannot be used.
    """
    try:
        expectations = load_expectations(file)
    except ExpectationsError as error:
        _print_problems(error.problems)
        raise SystemExit(2) from None
    _print_problems(expectations.warnings)
    source = _source(gateway, expectations, paths)
    compilation = source.compile()
    failed = 0
    rows: list[dict[str, Any]] = []
    for case in expectations.cases:
        explanation = explain(compilation, case.expectation.call)
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
        click.echo(f"{held} of {len(expectations.cases)} expectations hold" + (f", {failed} failed" if failed else ""))
    raise SystemExit(1 if failed else 0)


def _source(gateway: Gateway, expectations: Expectations, paths: tuple[str, ...]) -> Source:
    chosen = paths or expectations.routes or gateway.route_paths()
    if not chosen:
        raise click.UsageError("there are no routes to test: name a PATH, or write routes in FILE")
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
