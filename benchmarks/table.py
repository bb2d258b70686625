"""The figures of a run as tables, for a terminal, for the documentation and for the README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.figures import ENVOY, FIGURES, INTERPRETED, JSON_LOG, MESHGATE, Comparison, Series, compare, medians

Row = Sequence[str]

PEER_COLUMNS = (ENVOY, "nginx", "haproxy", "traefik", "sniproxy")


def figure_rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """Every figure of every subject, the heading first."""
    yield ("Work", "What", "Of", "Median", "Rounds", "Beside it")
    for key, figure in FIGURES.items():
        for subject, samples in results["figures"].get(key, {}).items():
            middle = medians(samples)
            costs = sorted(sample["cost"] for sample in samples)
            spread = f"{number(costs[0])} to {number(costs[-1])}"
            yield (
                figure.work,
                figure.title,
                subject,
                f"{number(middle['cost'])} {figure.unit}",
                spread,
                beside(middle, figure.each),
            )


def beside(middle: Mapping[str, float], each: str) -> str:
    """The other numbers of the rounds, in words."""
    texts = []
    for name, value in middle.items():
        if name == "per_second":
            texts.append(f"{number(value)} {each}/s")
        elif name == "user":
            texts.append(f"{number(value)} of it in user space")
        elif name == "control":
            texts.append(f"{number(value)} of the control process")
        elif name != "cost":
            texts.append(f"{name.replace('_', ' ')} {number(value)}")
    return ", ".join(texts)


def bar_rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """Every bar whose sides were measured, the heading first."""
    yield ("Work", "What", "Ratio", "Measured", "At most", "Aim", "Verdict")
    for one in compare(results):
        figure, bar = FIGURES[one.bar.figure], one.bar
        yield (
            figure.work,
            figure.title,
            ratio_name(one),
            f"{one.ratio:.2f}",
            f"{bar.most:.2f}",
            f"{bar.aim:.2f}",
            one.verdict,
        )


def ratio_name(one: Comparison) -> str:
    """The two subjects that are compared."""
    return f"{one.bar.subject} / {one.bar.against}" if one.bar.against else one.bar.subject


def summary_rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """
    Every figure that has a bar, with the costs of all proxies that were measured; the heading first.

    With Envoy among them the table begins with meshgate's ratio to it.
    """
    figures: Mapping[str, Series] = results["figures"]
    measured = {subject for series in figures.values() for subject in series}
    columns = [name for name in (INTERPRETED, *PEER_COLUMNS) if name in measured]
    lead = ["Against Envoy"] if ENVOY in measured else []
    comparisons = compare(results)
    others = {(one.bar.figure, one.bar.subject, one.bar.against): one for one in comparisons}
    yield ("", *lead, "meshgate", *columns, "Ratio", INTERPRETED, "To", "At most", "")
    for one in comparisons:
        key, subject = one.bar.figure, one.bar.subject
        if subject == INTERPRETED or one.bar.against == ENVOY:
            continue
        costs = {name: medians(samples)["cost"] for name, samples in figures[key].items()}
        other = others.get((key, INTERPRETED, one.bar.against)) if subject == MESHGATE else None
        title = f"{FIGURES[key].title}{', JSON log' if subject == JSON_LOG else ''}, {FIGURES[key].unit}"
        shown = columns if subject != JSON_LOG else [name for name in columns if name != INTERPRETED]
        yield (
            title,
            *(_against_envoy(costs, subject, others.get((key, subject, ENVOY))) for _ in lead),
            number(costs[subject]),
            *(number(costs[name]) if name in costs and name in shown else "" for name in columns),
            f"{one.ratio:.2f}",
            f"{other.ratio:.2f}" if other else "",
            one.bar.against,
            f"{one.bar.most:.2f}",
            _verdicts(one.verdict, other.verdict if other else one.verdict),
        )


def _against_envoy(costs: Mapping[str, float], subject: str, bar: Comparison | None) -> str:
    if ENVOY not in costs:
        return ""
    ratio = f"**{costs[subject] / costs[ENVOY]:.2f}**"
    return f"{ratio}, not met" if bar and bar.verdict == "not met" else ratio


def _verdicts(installed: str, interpreted: str) -> str:
    return installed if installed == interpreted else f"{installed}; interpreted: {interpreted}"


def call_rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """System calls of one connection, the heading first; no rows if they were not counted."""
    counted: Mapping[str, Mapping[str, float]] = results.get("system_calls", {})
    if not counted:
        return
    yield ("System calls of a connection", *counted)
    totals = [sum(calls.values()) for calls in counted.values()]
    yield ("all", *(f"{total:.1f}" for total in totals))
    names = {
        name: sum(calls.get(name, 0) for calls in counted.values()) for calls in counted.values() for name in calls
    }
    for name in sorted(names, key=lambda name: -names[name]):
        if names[name] >= 0.01:
            yield (name, *(f"{calls[name]:.2f}" if name in calls else "" for calls in counted.values()))


def tables(results: Mapping[str, Any]) -> Iterator[list[Row]]:
    """All tables that are not empty."""
    for rows in (figure_rows, bar_rows, call_rows):
        table = list(rows(results))
        if len(table) > 1:
            yield table


def as_text(results: Mapping[str, Any]) -> str:
    """For a terminal."""
    return "\n\n".join("\n".join(aligned(table)) for table in tables(results))


def aligned(table: Sequence[Row]) -> Iterator[str]:
    """The rows of a table as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def as_rst(results: Mapping[str, Any]) -> Iterator[str]:
    """For the documentation, line by line."""
    for table in tables(results):
        yield from (".. list-table::", "   :header-rows: 1", "")
        for row in table:
            for index, cell in enumerate(row):
                yield f"   {'*' if index == 0 else ' '} - {cell}".rstrip()
        yield ""


def as_markdown(results: Mapping[str, Any]) -> Iterator[str]:
    """The summary for the README, line by line."""
    heading, *rows = summary_rows(results)
    for row in (heading, ("---", *("---:" for _ in heading[1:-1]), "---"), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""
    yield f"{machine_text(results)}."


def machine_text(results: Mapping[str, Any]) -> str:
    """Machine, versions and commit, in a sentence."""
    machine = results["machine"]
    builds = {"python": f" {machine['python_build']}"} if "python_build" in machine else {}
    versions = ", ".join(f"{name} {version}{builds.get(name, '')}" for name, version in results["versions"].items())
    return (
        f"{machine['processors']} processors ({machine['cpu']}), {machine['memory_gib']} GiB, {machine['kernel']}; "
        f"{versions}; commit {results['revision']}; {results['rounds']} rounds, {results['date']}"
        f"{'; a quick run, with a tenth of the names and routes' if results['quick'] else ''}"
    )


def number(value: float) -> str:
    """A number with three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
