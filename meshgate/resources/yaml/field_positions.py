"""From the tree of a document to the positions that are kept of it. Knows nodes; knows nothing of what they mean."""

from __future__ import annotations

from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from meshgate.resources.packed_positions import PackedPositions, path_checksum
from meshgate.resources.yaml.nodes import PLAIN

_MERGE_KEY = "<<"


def positions_below(root: Node, name: str) -> PackedPositions:
    """
    The positions of a field of a document and of everything in it.

    :param root: the document, or the item of a list that counts as one.
    :param name: of the field at the document's top level, as ``spec``.
    """
    found: dict[int, tuple[int, int]] = {}
    for key, value in root.value if isinstance(root, MappingNode) else ():
        if key.value == name:
            mark = _mark(key, value)
            found[path_checksum(name)] = (mark.line + 1, mark.column + 1)
            _note(value, path_checksum(name), found)
    return PackedPositions.packed(found)


def _note(node: Node, path: int, found: dict[int, tuple[int, int]]) -> None:
    """
    The places of all that is in a node. What was noted before stays, as do keys of a mapping before merged ones.

    :param path: its checksum.
    """
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            inner = path_checksum(f"[{index}]", path)
            mark = item.start_mark
            found.setdefault(inner, (mark.line + 1, mark.column + 1))
            if not isinstance(item, ScalarNode):
                _note(item, inner, found)
    elif isinstance(node, MappingNode):
        _note_fields(node, path, found)


def _note_fields(node: MappingNode, path: int, found: dict[int, tuple[int, int]]) -> None:
    merged: list[Any] = []
    for key, value in node.value:
        name = key.value
        if name == _MERGE_KEY and key.ctag is PLAIN:
            merged += value.value if isinstance(value, SequenceNode) else [value]
        elif isinstance(name, str):
            inner = path_checksum(f".{name}", path)
            mark = _mark(key, value)
            found.setdefault(inner, (mark.line + 1, mark.column + 1))
            if not isinstance(value, ScalarNode):
                _note(value, inner, found)
    for source in merged:
        _note_fields(source, path, found)


def _mark(key: Node, value: Node) -> Any:
    """Where a field stands; a value that is left empty stands where its key does."""
    empty = not value.value and isinstance(value, ScalarNode) and value.ctag is PLAIN
    return (key if empty else value).start_mark
