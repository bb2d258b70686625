"""
YAML documents: plain values with the position of each, read as ``kubectl`` reads them. JSON is YAML as well.

Problem: users edit YAML, so every problem needs a line and a column; and what is read here must mean what it means to
``kubectl``, which reads YAML 1.1, merges ``<<`` and converts to JSON.

Approach: a parser makes a tree of nodes (:mod:`~meshgate.resources.yaml.nodes`), and this module makes a plain value
of the tree. A :class:`YamlDocument` keeps the tree, and finds the position of a path by following it there. The tree
is several times the text, so documents are made one at a time, and a resource keeps packed positions alone.

Invariants: a text is refused rather than understood differently than ``kubectl`` does; words that YAML 1.2 reads
differently get a warning. Aliases cannot make a value of more than :data:`MAX_VALUES` values or endless depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from meshgate.resources.problem import pack_positions, path_checksum
from meshgate.resources.wording import name_text, quoted
from meshgate.resources.yaml.nodes import HAVE_C_PARSER, MAX_DEPTH, PLAIN, TEXT, YamlError, compose
from meshgate.resources.yaml.scalars import LETTERS, Scalar, key_text, meaning_in_yaml_1_2, plain_value

__all__ = ["YamlDocument", "YamlError", "YamlWarning", "iterate_documents", "parse_documents"]

#: The number of values that the aliases of one file may expand to. A file without aliases never reaches it.
MAX_VALUES: Final = 1_000_000

_STANDARD: Final = "tag:yaml.org,2002:"
_MERGE_KEY: Final = "<<"
_TAGS: Final = frozenset(["str", "int", "float", "bool", "null", "timestamp", "seq", "map"])


class YamlWarning(NamedTuple):
    """A word that is read, but perhaps not as it was meant."""

    message: str
    line: int
    column: int
    hint: str


class YamlDocument:
    """
    One document: its plain value, and the position of everything in it.

    :ivar value: dicts, lists, texts, numbers, booleans and None.
    :ivar line: the line of the document's first content, from 1.
    :ivar column: its column, from 1.
    :ivar warnings: words that YAML 1.1 and YAML 1.2 read differently.
    """

    __slots__ = ("_root", "column", "line", "value", "warnings")

    def __init__(self, root: Node, value: Any, warnings: tuple[YamlWarning, ...]) -> None:
        self._root = root
        self.value = value
        self.line, self.column = _position(root)
        self.warnings = warnings

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """
        Line and column of a value, from 1.

        A missing value has the position of the value that would contain it; an empty value has that of its key.

        :param path: keys and indexes from the document's root.
        """
        key, node = self._find(path)
        empty = isinstance(node, ScalarNode) and node.ctag is PLAIN and not node.value
        return _position(key if empty and key is not None else node)

    def key_position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the key of a value; the same as :meth:`position` where there is no key."""
        key, node = self._find(path)
        return _position(node if key is None else key)

    def positions_below(self, path: Sequence[str | int], name: str) -> bytes:
        """
        Pack the positions of everything in one field, so that they outlast the document.

        :param path: the path of the mapping that has the field.
        :param name: the name of the field.
        """
        return _pack_positions(self._find(path)[1], name)

    def _find(self, path: Sequence[str | int]) -> tuple[Node | None, Node]:
        key: Node | None = None
        node = self._root
        for step in path:
            child = _child(node, step)
            if child is None:
                return None, node
            key, node = child
        return key, node


def parse_documents(text: str | bytes, *, use_c: bool = HAVE_C_PARSER) -> tuple[YamlDocument, ...]:
    """
    Read all documents of a text that have content.

    :param text: bytes are UTF-8; a byte order mark is skipped.
    :param use_c: parse in C; the result is the same.
    :raises YamlError: the first fault of the text, of which nothing can be used then.
    """
    return tuple(iterate_documents(text, use_c=use_c))


def iterate_documents(text: str | bytes, *, use_c: bool = HAVE_C_PARSER) -> Iterator[YamlDocument]:
    """
    Read the documents of a text as :func:`parse_documents` does, but one at a time.

    The memory that a document needs for its positions, several times its text, is free again before the next one.
    """
    text = _decode(text).removeprefix("\ufeff")
    # Every value in the text takes a character, so only aliases can exceed this.
    values = _ValueBuilder(max(MAX_VALUES, len(text)))
    for root in compose(text, use_c=use_c):
        value = values.build(root)
        if value is not None:
            yield YamlDocument(root, value, tuple(dict.fromkeys(values.warnings)))
        values.warnings.clear()


def _decode(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start]
        raise YamlError(
            f"the byte 0x{text[error.start]:02x} at position {error.start} is not UTF-8",
            before.count(b"\n") + 1,
            len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1,
            "save the file in UTF-8",
        ) from None


class _ValueBuilder:
    """Builds plain values from nodes, within a budget of values for the whole file."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.warnings: list[YamlWarning] = []

    def build(self, node: Node, depth: int = 0) -> Any:
        """
        Build the value of a node.

        :param depth: the number of collections around the node.
        """
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self.budget -= len(node.value)
        if self.budget < 0:
            _fail(node, f"the aliases expand to more than {MAX_VALUES} values", "use fewer aliases")
        if depth >= MAX_DEPTH:
            _fail(node, f"the aliases nest more than {MAX_DEPTH} levels deep, or contain themselves")
        if isinstance(node, SequenceNode):
            _check_tag(node, "seq")
            return [self.build(item, depth + 1) for item in node.value]
        assert isinstance(node, MappingNode)  # noqa: S101 - for the type checker
        return self._mapping(node, depth + 1)

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        _check_tag(node, "map")
        result: dict[str, Any] = {}
        merged = False
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key is None:
                merged = True
                continue
            if key in result:
                document = key in ("apiVersion", "kind")
                _fail(
                    key_node,
                    f"the key {quoted(key)} is written twice in one mapping",
                    'begin each document with "---"' if document else "remove or rename one of them",
                )
            if key != key_node.value:
                self._scalar(key_node)  # only for its warning
            result[key] = self.build(value_node, depth)
        if merged:
            for source in _merged_mappings(node):
                for key, value in self.build(source, depth).items():
                    result.setdefault(key, value)
        return result

    def _scalar(self, node: ScalarNode) -> Scalar:
        value = _scalar_value(node)
        if node.ctag is not PLAIN:
            return value
        if type(value) is str:
            if value in LETTERS:
                self._warn_of_letter(node)
        else:
            other = meaning_in_yaml_1_2(node.value, value)
            if other:
                self._warn(node, value, other)
        return value

    def _warn_of_letter(self, node: ScalarNode) -> None:
        message = f"{name_text(node.value)} is text here, but a boolean to kubectl"
        self.warnings.append(YamlWarning(message, *_position(node), f"write {quoted(node.value)} in quotes"))

    def _warn(self, node: ScalarNode, value: Scalar, other: str) -> None:
        meaning = str(value).lower() if isinstance(value, bool) else f"the number {value}"
        self.warnings.append(
            YamlWarning(
                f"{name_text(node.value)} is {meaning} here and to kubectl, as in YAML 1.1, but {other} in YAML 1.2",
                *_position(node),
                f"write {quoted(node.value)} in quotes if it is text, or {key_text(value)}",
            )
        )


def _scalar_value(node: ScalarNode) -> Scalar:
    if node.ctag is PLAIN:
        return plain_value(node.value)
    if node.ctag is TEXT:
        return _text(node)
    tag = _standard_tag(node)
    if tag in ("str", "timestamp"):
        return _text(node)
    value = plain_value(node.value)
    if tag == "float" and type(value) is int:
        return float(value)
    if tag != {type(None): "null", bool: "bool", int: "int", float: "float"}.get(type(value)):
        _fail(node, f"{quoted(node.value)} is not what its tag !!{tag} says")
    return value


def _text(node: ScalarNode) -> str:
    text: str = node.value
    if text.isascii() or node.style != '"':
        return text
    try:
        # JSON escapes a character beyond U+FFFF as a pair of surrogates.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        _fail(node, "the text holds half of an escaped character", "write both halves, or the character itself")


def _key(node: Node) -> str | None:
    """The key of a mapping as text; None for the merge key."""
    if not isinstance(node, ScalarNode):
        _fail(node, "a key is a list or a mapping, and Kubernetes knows texts only", "quote it if it is a text")
    if node.ctag is PLAIN and node.value == _MERGE_KEY:
        return None
    text = key_text(_scalar_value(node))
    if text is None:
        _fail(node, "a key is empty", 'write a name before the colon, or quote "null"')
    return text


def _merged_mappings(node: MappingNode) -> Iterator[MappingNode]:
    """The mappings that are merged into a mapping, in the order of their precedence."""
    for key_node, value_node in node.value:
        if _key(key_node) is None:
            for source in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
                if not isinstance(source, MappingNode):
                    _fail(key_node, 'the merge key "<<" takes a mapping or a list of mappings')
                yield source


def _child(node: Node, step: str | int) -> tuple[Node | None, Node] | None:
    if isinstance(node, SequenceNode):
        inside = isinstance(step, int) and 0 <= step < len(node.value)
        return (None, node.value[step]) if inside else None
    if not isinstance(node, MappingNode):
        return None
    for key_node, value_node in node.value:
        if _key(key_node) == step:
            return key_node, value_node
    found = (_child(source, step) for source in _merged_mappings(node))
    return next((child for child in found if child is not None), None)


def _check_tag(node: Node, expected: str) -> None:
    if node.ctag is not PLAIN and _standard_tag(node) != expected:
        what = "list" if expected == "seq" else "mapping"
        _fail(node, f"the tag says that this is not a {what}", "leave it out")


def _standard_tag(node: Node) -> str:
    try:
        tag = str(node.ctag)
    except ValueError:  # a percent sign that begins no escape sequence
        tag = ""
    if not tag.startswith(_STANDARD) or tag.removeprefix(_STANDARD) not in _TAGS:
        _fail(node, f"the tag {quoted(tag)} is not known", "leave it out")
    return tag.removeprefix(_STANDARD)


def _position(node: Node) -> tuple[int, int]:
    mark = node.start_mark
    return mark.line + 1, mark.column + 1


def _fail(node: Node, message: str, hint: str = "") -> NoReturn:
    raise YamlError(message, *_position(node), hint)


def _pack_positions(root: Node, name: str) -> bytes:
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
    return pack_positions(found)


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
