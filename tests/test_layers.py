"""The layers: a module imports only from its own folder and from those below it, and never in a circle."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import meshgate

ROOT = Path(meshgate.__file__).parent
LAYERS = [
    "compiled",
    "wire",
    "resources",
    "routing",
    "processes",
    "providers",
    "transport",
    "proxy",
    "settings",
    "workers",
    "health",
    "state",
    "metrics",
    "lab",
    "api",
]
"""From the lowest up; a folder within one of them belongs to it."""
ABOVE = ["testing", "report", "succession", "control", "tap", "cli", "__main__"]
"""Everything else, from the lowest up: the modules at the top, and the commands."""
PURE = ("wire", "resources", "routing")
"""The layers that parse and decide: they do no input or output."""


def sources() -> dict[str, Path]:
    """All modules by their dotted names."""
    found = {}
    for file in ROOT.rglob("*.py"):
        name = ".".join(("meshgate", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        found[name] = file
    return found


SHIPPED = ("meshgate.defaults", "meshgate.provider_template")
"""Files that come with the package and are no modules of it."""
SOURCES = {name: file for name, file in sources().items() if not name.startswith(SHIPPED)}


def imports(file: Path, *, at_import: bool = False) -> Iterator[str]:
    """
    The modules of ours that a file imports.

    :param at_import: only those that are imported as soon as the file is.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = list(_run_at_import(tree.body)) if at_import else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name if name in SOURCES else name.rpartition(".")[0]


def _run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _run_at_import(node.body)


def rank(name: str) -> int:
    """How high the layer of a module is."""
    return [*LAYERS, *ABOVE].index(name.split(".")[1])


class LayerTests(SynchronousTestCase):
    """The direction of imports."""

    def test_every_folder_and_module_has_its_place(self) -> None:
        """A new folder, or a module at the top, has to be given its place."""
        named = {name.split(".")[1] for name in SOURCES if name != "meshgate"}
        self.assertEqual(named, {*LAYERS, *ABOVE})

    def test_imports_go_down(self) -> None:
        """No module imports one of a layer above its own."""
        wrong = [
            f"{name} imports {imported}"
            for name, file in SOURCES.items()
            if name != "meshgate"
            for imported in imports(file)
            if imported.startswith("meshgate.") and rank(imported) > rank(name)
        ]
        self.assertEqual(wrong, [])

    def test_no_circle(self) -> None:
        """Every module can be put after all those that it imports."""
        graph = {
            name: {each for each in imports(file, at_import=True) if each in SOURCES and each != name}
            for name, file in SOURCES.items()
        }
        self.assertEqual(len(list(TopologicalSorter(graph).static_order())), len(SOURCES))

    def test_names_are_unique(self) -> None:
        """No two modules have one name, but for the commands, which are named after what they show."""
        stems = Counter(file.stem for name, file in SOURCES.items() if not name.startswith("meshgate.cli"))
        self.assertEqual([stem for stem, count in stems.items() if count > 1 and not stem.startswith("__")], [])

    def test_parsers_and_decisions_do_no_input_or_output(self) -> None:
        """What parses and decides imports neither sockets nor the reactor, nor a clock."""
        wrong = [
            f"{file} imports {name}"
            for layer in PURE
            for file in (ROOT / layer).rglob("*.py")
            for name in _all_imports(file)
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


def _all_imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
