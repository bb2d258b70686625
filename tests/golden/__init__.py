"""
Tables of problems: for each code a minimal text with that fault, and what is shown of it.

Each module beside this one has a list ``CASES``; a new module is found by itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import NamedTuple


class Golden(NamedTuple):
    """
    One case.

    :ivar code: that it is about.
    :ivar text: of the file, ``routes.yaml``.
    :ivar shown: every problem with that code as it is printed, in order. Line breaks and indentation do not count.
    """

    code: str
    text: str
    shown: str


def all_cases() -> Iterator[Golden]:
    """The cases of all tables."""
    for module in pkgutil.iter_modules(__path__):
        for case in importlib.import_module(f"{__name__}.{module.name}").CASES:
            yield Golden(*case)
