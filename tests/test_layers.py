"""The layers: a module imports only from its own folder and from those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import meshgate

ROOT = Path(meshgate.__file__).parent
LAYERS = ["wire", "resources", "routing", "processes", "providers", "transport", "proxy", "workers", "lab"]
"""From the lowest up; what stands directly in meshgate/ is above them all."""
TOP = {"cli"}
"""Folders that are no layer: they belong to what stands directly in meshgate/."""


def imports(file: Path) -> Iterator[str]:
    """The dotted names that a file imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


class LayerTests(SynchronousTestCase):
    """The direction of imports."""

    def test_every_folder_is_a_layer(self) -> None:
        """A new folder has to be given its place."""
        folders = {file.parent.name for file in ROOT.glob("*/__init__.py")}
        self.assertEqual(folders, {*LAYERS, *TOP})

    def test_imports_go_down(self) -> None:
        """No layer imports one above it, nor what stands on top of all layers."""
        wrong = [
            f"{layer}/{file.name} imports {name}"
            for place, layer in enumerate(LAYERS)
            for file in (ROOT / layer).glob("*.py")
            for name in imports(file)
            if name.startswith("meshgate.") and name.split(".")[1] not in LAYERS[: place + 1]
        ]
        self.assertEqual(wrong, [])

    def test_parsers_and_decisions_do_no_input_or_output(self) -> None:
        """What parses and decides imports neither sockets nor the reactor, nor a clock."""
        wrong = [
            f"{layer}/{file.name} imports {name}"
            for layer in ("wire", "resources", "routing")
            for file in (ROOT / layer).glob("*.py")
            for name in imports(file)
            if name.split(".")[0] in {"socket", "select", "ssl", "time", "twisted", "threading", "subprocess"}
        ]
        self.assertEqual(wrong, [])

    def test_the_reactor_is_passed_in(self) -> None:
        """No module imports the reactor when it is itself imported."""
        wrong = []
        for file in ROOT.rglob("*.py"):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                    wrong += [file.name for alias in node.names if alias.name == "reactor"]
        self.assertEqual(wrong, [])
