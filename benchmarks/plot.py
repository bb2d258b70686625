"""The plot of a run: throughput and processor time of all proxies, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.figures import medians
from benchmarks.table import machine_text, number

PANELS = (
    ("connection_full", "per_second", "Connections/s"),
    ("round_trip_full", "per_second", "Round trips/s"),
    ("download", "per_second", "Download, MB/s"),
    ("upload", "per_second", "Upload, MB/s"),
    ("connection", "cost", "CPU of a connection, µs"),
    ("round_trip", "cost", "CPU of a round trip, µs"),
    ("download", "cost", "CPU of a downloaded MB, µs"),
    ("upload", "cost", "CPU of an uploaded MB, µs"),
)
"""Figure, number and title: throughput in the upper row (more is better), cost in the lower (less is better)."""

COLORS = {
    "meshgate": "#0b6e4f",
    "meshgate, JSON log": "#2f8f6f",
    "interpreted": "#5fb395",
    "envoy": "#5d6d7e",
    "nginx": "#7f8c8d",
    "haproxy": "#a5b1b5",
    "traefik": "#b7c0c4",
    "sniproxy": "#c8d0d3",
}


def draw(results: Mapping[str, Any], file: Path) -> bool:
    """
    Draw the figures of a run.

    :return: False if there was nothing to draw.
    :raises ImportError: if matplotlib is not installed.
    """
    import matplotlib as mpl
    from matplotlib import pyplot

    if not any(key in results["figures"] for key, _, _ in PANELS):
        return False
    mpl.use("svg")
    # The same figures give the same file.
    mpl.rcParams.update({"svg.hashsalt": "meshgate", "svg.fonttype": "none", "font.size": 8})
    figure = chart(results)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
    return True


def chart(results: Mapping[str, Any]) -> Any:
    """Make the plot: horizontal bars, since names stand side by side only where there are few, and short ones."""
    from matplotlib import pyplot

    figures = results["figures"]
    subjects = [name for name in COLORS if any(name in figures.get(key, {}) for key, _, _ in PANELS)]
    machine = textwrap.wrap(machine_text(results), 230)
    height = 2 * (0.9 + 0.22 * len(subjects)) + 0.12 * len(machine)
    figure, axes = pyplot.subplots(2, 4, figsize=(11, height), sharey=True)
    for axis, (key, field, title) in zip(axes.flat, PANELS, strict=True):
        values = {name: medians(samples)[field] for name, samples in figures.get(key, {}).items()}
        rows = [subjects.index(name) for name in values]
        bars = axis.barh(rows, list(values.values()), color=[COLORS[name] for name in values])
        axis.bar_label(bars, [number(value) for value in values.values()], padding=3)
        axis.set_title(f"{title}\n({'more' if field == 'per_second' else 'less'} is better)", fontsize=8.5)
        axis.set_xlim(0, 1.3 * max(values.values(), default=1))  # room for the labels beside the bars
        axis.set_yticks(range(len(subjects)), subjects)
        axis.tick_params(axis="y", length=0)
        axis.xaxis.set_visible(False)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.set_visible(bool(values))
    axes.flat[0].invert_yaxis()
    figure.text(0.01, 0.01, "\n".join(machine), fontsize=6)
    figure.tight_layout(rect=(0, 0.14 * len(machine) / height, 1, 1), h_pad=2)
    return figure
