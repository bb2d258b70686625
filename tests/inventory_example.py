"""The example package, imported from its folder: tests need not have it installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "meshgate-inventory"


def example_module(name: str) -> Any:
    """
    A module of the example.

    :param name: ``provider`` or ``documents``.
    """
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(f"meshgate_inventory.{name}")
    finally:
        sys.path.remove(str(FOLDER))
