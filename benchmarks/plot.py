"""The plot of a run: throughput and processor time of all proxies, side by side."""

from __future__ import annotations

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

    mpl.use("svg")
    from matplotlib import pyplot

    panels = [panel for panel in PANELS if panel[0] in results["figures"]]
    if not panels:
        return False
    # The same figures give the same file.
    mpl.rcParams.update({"svg.hashsalt": "meshgate", "svg.fonttype": "none", "font.size": 8})
    figure, axes = pyplot.subplots(2, 4, figsize=(11, 5.4))
    for axis, (key, field, title) in zip(axes.flat, PANELS, strict=True):
        series = results["figures"].get(key, {})
        values = {name: medians(samples)[field] for name, samples in series.items()}
        bars = axis.bar(list(values), list(values.values()), color=[COLORS[name] for name in values])
        axis.bar_label(bars, [number(value) for value in values.values()], padding=2)
        axis.set_title(title, fontsize=9)
        axis.margins(y=0.15)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_visible(bool(values))
    figure.text(0.01, 0.01, machine_text(results), fontsize=6, wrap=True)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
    return True
