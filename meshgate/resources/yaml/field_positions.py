"""Collects the positions of fields from the nodes of a document, to be kept when the nodes are gone."""

from __future__ import annotations

from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from meshgate.resources.packed_positions import PackedPositions, path_checksum
from meshgate.resources.yaml.nodes import PLAIN

_MERGE_KEY = "<<"


def positions_below(root: Node, name: str) -> PackedPositions:
    """
    Pack the positions of a field of a document and of everything in it.

    :param root: the document, or the item of a list that counts as one.
    :param name: the name of a field at the document's top level, as ``spec``.
    """
    found: dict[int, tuple[int, int]] = {}
    for key, value in root.value if isinstance(root, MappingNode) else ():
        if key.value == name:
            mark = _mark(key, value)
            found[path_checksum(name)] = (mark.line + 1, mark.column + 1)
            _collect(value, path_checksum(name), found)
    return PackedPositions.pack(found)


def _collect(node: Node, path: int, found: dict[int, tuple[int, int]]) -> None:
    """
    Collect the positions of everything in a node. A position that is there already stays: that of a mapping's own key
    comes before that of a merged one.

    :param path: the checksum of the node's path.
    """
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            inner = path_checksum(f"[{index}]", path)
            mark = item.start_mark
            found.setdefault(inner, (mark.line + 1, mark.column + 1))
            if not isinstance(item, ScalarNode):
                _collect(item, inner, found)
    elif isinstance(node, MappingNode):
        _collect_fields(node, path, found)


def _collect_fields(node: MappingNode, path: int, found: dict[int, tuple[int, int]]) -> None:
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
                _collect(value, inner, found)
    for source in merged:
        _collect_fields(source, path, found)


def _mark(key: Node, value: Node) -> Any:
    """The mark of a field's value, or of its key where the value is empty."""
    empty = not value.value and isinstance(value, ScalarNode) and value.ctag is PLAIN
    return (key if empty else value).start_mark
