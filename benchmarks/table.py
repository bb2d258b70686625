"""
The figures of a run as tables, for a terminal, for the documentation and for the README.

Knows results as they are written to JSON; must not know how they were measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.figures import FIGURES, INTERPRETED, Comparison, Series, compare, medians

Row = Sequence[str]

PEER_COLUMNS = ("nginx", "haproxy", "sniproxy")


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
    """What the rounds tell besides the figure itself."""
    texts = []
    for name, value in middle.items():
        if name == "per_second":
            texts.append(f"{number(value)} {each}/s")
        elif name == "user":
            texts.append(f"{number(value)} of it in user space")
        elif name != "cost":
            texts.append(f"{name.replace('_', ' ')} {number(value)}")
    return ", ".join(texts)


def bar_rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """Every bar that can be told, the heading first."""
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
    """What is divided by what."""
    return f"{one.bar.subject} / {one.bar.against}" if one.bar.against else one.bar.subject


def summary_rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """Every figure that has a bar with the costs of all proxies, the heading first."""
    yield ("", "meshgate", INTERPRETED, *PEER_COLUMNS, "Ratio", INTERPRETED, "To", "At most", "")
    comparisons = compare(results)
    interpreted = {one.bar.figure: one for one in comparisons if one.bar.subject == INTERPRETED}
    for one in comparisons:
        if one.bar.subject == INTERPRETED:
            continue
        figure, other = FIGURES[one.bar.figure], interpreted.get(one.bar.figure)
        series: Series = results["figures"][one.bar.figure]
        costs = {subject: number(medians(samples)["cost"]) for subject, samples in series.items()}
        yield (
            f"{figure.title}, {figure.unit}",
            costs[one.bar.subject],
            *(costs.get(name, "") for name in (INTERPRETED, *PEER_COLUMNS)),
            f"{one.ratio:.2f}",
            f"{other.ratio:.2f}" if other else "",
            one.bar.against,
            f"{one.bar.most:.2f}",
            _verdicts(one.verdict, other.verdict if other else one.verdict),
        )


def _verdicts(installed: str, interpreted: str) -> str:
    return installed if installed == interpreted else f"{installed}; interpreted: {interpreted}"


def call_rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """System calls of one connection, the heading first; nothing when they were not counted."""
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
    """All tables that have anything in them."""
    for rows in (figure_rows, bar_rows, call_rows):
        table = list(rows(results))
        if len(table) > 1:
            yield table


def as_text(results: Mapping[str, Any]) -> str:
    """For a terminal."""
    return "\n\n".join("\n".join(aligned(table)) for table in tables(results))


def aligned(table: Sequence[Row]) -> Iterator[str]:
    """The rows of a table, line by line, with their columns below each other."""
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
    """Machine and versions, in a sentence."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"{machine['processors']} processors ({machine['cpu']}), {machine['memory_gib']} GiB, {machine['kernel']}; "
        f"{versions}; commit {results['revision']}; {results['rounds']} rounds, {results['date']}"
        f"{'; a quick run, with a tenth of the names and routes' if results['quick'] else ''}"
    )


def number(value: float) -> str:
    """Three figures that count, and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
