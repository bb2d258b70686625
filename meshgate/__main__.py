"""``python -m meshgate``: the same as the ``meshgate`` command."""

from meshgate.cli import run

run()
