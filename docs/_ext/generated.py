"""
Reference pages made from the code and from figures, so that they always agree with them.

``.. generated:: endings`` inserts the lines of the function ``endings`` below; likewise for the others.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from benchmarks.table import as_rst, machine_text
from meshgate.cli import main
from meshgate.metrics.metric_families import FAMILIES
from meshgate.proxy.endings import Ending
from meshgate.resources.codes import CODES
from meshgate.resources.field_reference import Entry, fields_of, kind_entry
from meshgate.resources.kinds.supported_kinds import KINDS
from meshgate.settings.expectation_file import ExpectationsFile
from meshgate.settings.schema import settings_reference
from tests.code_sections import CodeSection, code_sections, run_example
from tests.metrics.alert_rules import families_in, rules

DOCS = Path(__file__).parent.parent
CODES_PAGE_NAME = "reference/codes"
RESULTS = DOCS / "benchmarks" / "results.json"
SCALE = DOCS / "explanation" / "scale.json"
API_SCALE = DOCS / "explanation" / "api_scale.json"
METRICS_SOAK = DOCS / "benchmarks" / "metrics_soak.json"

SCALE_ROWS = {
    "``meshgate check`` over all files": "{check_seconds} s, {check_mib} MiB",
    "start of the gateway, until a port answers": "{start_seconds} s",
    "memory of the control process": "{control_mib} MiB",
    "memory of the worker": "{workers_mib[0]} MiB",
    "from the change of a file to its effect, median (longest)": (
        "{change_to_effect_median_seconds} s ({change_to_effect_longest_seconds} s)"
    ),
    "a 64-byte round trip, 99th percentile, nothing changes": "{round_trip_p99_ms_quiet} ms",
    "a 64-byte round trip, 99th percentile, while files change (longest)": (
        "{round_trip_p99_ms_while_changing} ms ({round_trip_longest_ms_while_changing} ms)"
    ),
    "a short connection, 99th percentile, nothing changes": "{short_connection_p99_ms_quiet} ms",
    "a short connection, 99th percentile, while files change (longest)": (
        "{short_connection_p99_ms_while_changing} ms ({short_connection_longest_ms_while_changing} ms)"
    ),
}
"""The rows of the table of :func:`scale`: a title, and the figures of ``scale.json``."""

API_SCALE_ROWS = {
    "start of the gateway, until a port answers": "{start_seconds} s",
    "memory of the control process, after the start (in the end)": "{control_mib} MiB ({control_mib_in_the_end} MiB)",
    "a list of all VirtualServices in pages of 500": "{list_in_pages_seconds} s",
    "``kubectl get vs -A``": "{kubectl_get_seconds} s",
    "from an apply until all workers serve it, median": "{apply_served_median_ms} ms",
    "from an apply until all workers serve it, 99th percentile": "{apply_served_p99_ms} ms",
    "the longest turn of the control process while applying": "{control_longest_turn_ms_while_applying} ms",
    "a 64-byte round trip, 99th percentile, without a client of the API": "{round_trip_p99_ms_quiet} ms",
    "a 64-byte round trip, 99th percentile, while a client lists and applies without a pause": (
        "{round_trip_p99_ms_with_api_load} ms"
    ),
    "the same beside two programs that only compute, and use as much of the processors": (
        "{round_trip_p99_ms_with_other_programs} ms"
    ),
    "processors that the control process and the client use meanwhile": (
        "{control_processors_with_api_load} and {client_processors_with_api_load}"
    ),
}
"""The same of :func:`api_scale` and ``api_scale.json``."""


METRICS_SOAK_ROWS = {
    "an answer with so many lines, while connections are made": "{lines} lines, {answer_ms} ms",
    "a short connection, median (99th percentile), while nobody reads": "{quiet_p50_ms} ms ({quiet_p99_ms} ms)",
    "a short connection, median (99th percentile), while metrics are read five times a second": (
        "{read_p50_ms} ms ({read_p99_ms} ms)"
    ),
    "the worker's processor time for 20 answers while nobody connects (without them)": "{worker_ms} ms ({idle_ms} ms)",
    "lines and memory that connections with as many server names without a route add": (
        "{live_names} names: {live_lines} lines, {live_mb} MB"
    ),
    "series and memory that such names add where connections are counted": (
        "{counted_names} names: {counted_series} series, {counted_mb} MB"
    ),
}
"""The same of :func:`metrics_soak` and ``metrics_soak.json``."""


def endings() -> Iterator[str]:
    """Every ending and its meaning."""
    yield from _table("Ending", "What happened", [(f"``{ending.value}``", ending.meaning) for ending in Ending])


def codes() -> Iterator[str]:
    """A table of the codes of problems, and a section for each."""
    rows = [(f":ref:`{code} <{code.lower()}>`", title) for code, title in sorted(CODES.items())]
    yield from _table("Code", "What it says", rows)
    for section in code_sections():
        title = f"{section.code}: {CODES[section.code]}"
        yield from ("", f".. _{section.code.lower()}:", "", title, "-" * len(title), "")
        yield from _code_section(section)


def commands() -> Iterator[str]:
    """The help of every command, as the command prints it."""
    context = click.Context(main, info_name="meshgate", **main.context_settings)
    yield from _help(main, "meshgate", context)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        yield from _help(command, f"meshgate {name}", click.Context(command, info_name=name, parent=context))


def settings() -> Iterator[str]:
    """Every key of the settings file."""
    yield from settings_reference().splitlines()


def resources() -> Iterator[str]:
    """Every field of every kind."""
    for kind in KINDS.values():
        entry = kind_entry(kind)
        yield from (kind.name, "-" * len(kind.name), "", _text(entry.description), "")
        yield from _fields(entry.fields, len(entry.path), {})


def expectations() -> Iterator[str]:
    """Every key of a file of expectations."""
    yield from _fields(fields_of(ExpectationsFile), 0, {})


def benchmarks() -> Iterator[str]:
    """The figures of the last ``make bench``, with machine and versions."""
    results = json.loads(RESULTS.read_text())
    yield from (f"Measured on {_text(machine_text(results))}.", "")
    yield from as_rst(results)


def scale() -> Iterator[str]:
    """The figures of the last ``python -m benchmarks.scale --json docs/explanation/scale.json``."""
    yield from _figures(SCALE, SCALE_ROWS)


def api_scale() -> Iterator[str]:
    """The figures of the last ``python -m benchmarks.api_scale --json docs/explanation/api_scale.json``."""
    yield from _figures(API_SCALE, API_SCALE_ROWS)


def metrics_soak() -> Iterator[str]:
    """The figures of the last ``python -m benchmarks.metrics_soak --json docs/benchmarks/metrics_soak.json``."""
    yield from _figures(METRICS_SOAK, METRICS_SOAK_ROWS)


def _figures(file: Path, titles: Mapping[str, str]) -> Iterator[str]:
    figures = json.loads(file.read_text())
    rows = [(title, text.format(**figures)) for title, text in titles.items()]
    yield from _table("What", "Figure", rows)
    yield ""
    note = f"; {figures['note']}" if "note" in figures else ""
    yield _text(f"Measured on {figures['machine']}; commit {figures['revision']}, {figures['date']}{note}.")


def metrics() -> Iterator[str]:
    """Every metric family, with its labels, its meaning and the alerts that watch it."""
    alerts = [(rule["alert"], families_in(rule["expr"])) for rule in rules()]
    for family in FAMILIES:
        watching = [name for name, names in alerts if any(each.startswith(family.name) for each in names)]
        labels = f"; labels: {', '.join(f'``{label}``' for label in family.labels)}" if family.labels else ""
        alert = f" Alert: {', '.join(watching)}." if watching else ""
        yield from (f"``{family.exposed_name}``", f"    {_text(family.meaning)}{alert} ({family.type}{labels})", "")


def alerts() -> Iterator[str]:
    """The shipped alert rules."""
    texts = [(rule["alert"], rule["annotations"], rule["labels"]["severity"]) for rule in rules()]
    rows = [
        (f"``{name}`` ({severity})", f"{_sentence(notes['summary'])} {_text(notes['description'])}")
        for name, notes, severity in texts
    ]
    yield from _table("Alert", "What it says", rows)


def _sentence(summary: str) -> str:
    """The summary of an alert, with the names of labels in place of their values."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"<\1>", summary)
    return _text(f"{text[0].upper()}{text[1:]}.")


def _code_section(section: CodeSection) -> Iterator[str]:
    """The cause, the example with what a command says of it, and the mend."""
    yield from (section.cause, "")
    if section.said:
        yield from ("The gateway says, in its log and in ``meshgate status``::", "")
        yield from _indented("\n".join(_folded(section.said)))
        yield from ("", section.mend, "")
        return
    for name, content in section.before.items():
        yield from (f".. code-block:: yaml\n   :caption: {name}", "")
        yield from _indented(content)
        yield ""
    outcome = run_example(section, section.before)
    yield from (".. code-block:: console", "")
    yield from _indented(f"$ {section.command}\n" + "\n".join(_folded(outcome.text)))
    yield from ("", section.mend, "", ".. code-block:: diff", "")
    yield from _indented(section.changes())
    yield ""


def _folded(text: str) -> Iterator[str]:
    """Lines that fit a page, each problem with its later lines indented; without the line that points here."""
    for line in text.splitlines():
        if " explained at " in line:
            continue
        yield from textwrap.wrap(line, 110, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _indented(text: str) -> Iterator[str]:
    return (f"   {line}" for line in text.splitlines())


SOURCES: dict[str, Callable[[], Iterator[str]]] = {
    "endings": endings,
    "codes": codes,
    "commands": commands,
    "settings": settings,
    "resources": resources,
    "expectations": expectations,
    "benchmarks": benchmarks,
    "scale": scale,
    "api_scale": api_scale,
    "metrics": metrics,
    "metrics_soak": metrics_soak,
    "alerts": alerts,
}


class Generated(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the generated text in place."""
        return self.parse_text_to_nodes("\n".join(SOURCES[self.arguments[0]]()), allow_section_headings=True)


class LinkedCodes(SphinxPostTransform):
    """Makes each code of a problem, as ``MG2005``, a link to its section."""

    default_priority = 5

    def run(self, **rest: Any) -> None:
        """Wrap the literals of one page in links."""
        page = self.env.docname
        for literal in list(self.document.findall(nodes.literal)):
            code = literal.astext()
            if code in CODES and not isinstance(literal.parent, nodes.reference):
                uri = self.app.builder.get_relative_uri(page, CODES_PAGE_NAME) + f"#{code.lower()}"
                literal.replace_self(nodes.reference("", "", literal.deepcopy(), refuri=uri, internal=True))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("generated", Generated)
    app.add_post_transform(LinkedCodes)
    return {"version": "1", "parallel_read_safe": True}


def _help(command: click.Command, title: str, context: click.Context) -> Iterator[str]:
    yield from (title, "-" * len(title), "", "::", "")
    yield from (f"    {line}" for line in command.get_help(context).splitlines())
    yield ""


def _fields(entries: Iterable[Entry], root: int, seen: dict[tuple[str, ...], str]) -> Iterator[str]:
    """
    Fields by their paths, each before those below it. Equal groups of fields are listed once, at their first path.

    :param root: the number of leading steps of each path that are left out.
    :param seen: the first path of each group that was listed so far.
    """
    for field in entries:
        path = ".".join(field.path[root:])
        facts = [_text(fact) for fact in (field.type, field.presence()) if fact]
        shape = (field.about, *(below.name for below in field.fields))
        first = seen.get(shape) if field.fields else None
        about = f"The fields of ``{first}`` again." if first else _text(field.about)
        yield from (
            f"``{path}``",
            f"    {_text(field.description)}",
            "",
            f"    {'; '.join(facts)}. {about}".rstrip(),
            "",
        )
        if first is None:
            seen[shape] = path
            yield from _fields(field.fields, root, seen)


def _text(text: str) -> str:
    """Text with everything escaped that has a meaning in reStructuredText."""
    return re.sub(r"([\\*`|_\[\]])", r"\\\1", text)


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    yield from (
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 25 75",
        "",
        f"   * - {left}",
        f"     - {right}",
    )
    for one, other in rows:
        yield from (f"   * - {one}", f"     - {other}")
