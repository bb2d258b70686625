"""Output that the commands share: the option ``--format``, JSON, and progress."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from typing import Any, Final, Self, TextIO

import click

FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output: text for people, json for programs.",
)


def print_json(value: Any) -> None:
    """Print a document for programs."""
    click.echo(json.dumps(value, indent=2, default=str))


class Progress:
    """
    One line on a terminal that says what a command does at the moment, from the first second on.

    It is a context manager, which erases the line at its end; only then anything else may be printed. To a file or a
    pipe nothing is written.

    :param stream: standard error.
    :param clock: returns seconds.
    """

    PATIENCE: Final = 1.0
    """Seconds before the line is shown."""

    PERIOD: Final = 0.1
    """Seconds between two changes of the line."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._due = clock() + self.PATIENCE if stream.isatty() and os.environ.get("TERM") != "dumb" else float("inf")
        self._shown = False

    def show(self, text: str) -> None:
        """Replace the line, unless it was replaced a moment ago."""
        now = self._clock()
        if now >= self._due:
            self._due = now + self.PERIOD
            self._write(text[: shutil.get_terminal_size().columns - 1])
            self._shown = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()
