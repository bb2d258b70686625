"""
YAML text to plain values with positions, read as ``kubectl`` reads it.

Knows YAML; knows nothing of resources. JSON is YAML, and is read here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from meshgate.resources.packed_positions import PackedPositions
from meshgate.resources.wording import name_text, quoted
from meshgate.resources.yaml.errors import YamlError
from meshgate.resources.yaml.field_positions import positions_below
from meshgate.resources.yaml.nodes import HAVE_C_PARSER, MAX_DEPTH, PLAIN, TEXT, compose
from meshgate.resources.yaml.scalars import LETTERS, Scalar, key_text, other_reading, plain_value

__all__ = ["YamlDocument", "YamlError", "YamlWarning", "iterate_documents", "parse_documents"]

#: How many values the aliases of one file may unfold to. A file without aliases never reaches it.
MAX_VALUES: Final = 1_000_000

_STANDARD: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(["str", "int", "float", "bool", "null", "timestamp", "seq", "map"])


class YamlWarning(NamedTuple):
    """Something that is read, but perhaps not as it was meant."""

    message: str
    line: int
    column: int
    hint: str


class YamlDocument:
    """
    One document: its plain value, and where each part of it stands.

    :ivar value: dicts, lists, texts, numbers, booleans and None.
    :ivar line: of the document's first content, from 1.
    :ivar column: likewise.
    :ivar warnings: words that YAML 1.1 and 1.2 read differently.
    """

    __slots__ = ("_root", "column", "line", "value", "warnings")

    def __init__(self, root: Node, value: Any, warnings: tuple[YamlWarning, ...]) -> None:
        self._root = root
        self.value = value
        self.line, self.column = _place(root)
        self.warnings = warnings

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """
        Line and column of a value, from 1. Of a value that is missing: those of what would contain it; of one
        that is left empty: those of its key.

        :param path: keys and indexes from the document's root.
        """
        key, node = self._find(path)
        empty = isinstance(node, ScalarNode) and node.ctag is PLAIN and not node.value
        return _place(key if empty and key is not None else node)

    def key_position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the key of a value; as :meth:`position` where there is no key."""
        key, node = self._find(path)
        return _place(node if key is None else key)

    def positions_below(self, path: Sequence[str | int], name: str) -> PackedPositions:
        """
        The positions of everything in one field, to keep.

        :param path: of the mapping that has the field.
        """
        return positions_below(self._find(path)[1], name)

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
    All documents of a text that have any content.

    :param text: bytes are UTF-8; a byte order mark is skipped.
    :param use_c: whether to parse in C; the result is the same.
    :raises YamlError: for the first fault of the text; nothing of it can be used then.
    """
    return tuple(iterate_documents(text, use_c=use_c))


def iterate_documents(text: str | bytes, *, use_c: bool = HAVE_C_PARSER) -> Iterator[YamlDocument]:
    """
    As :func:`parse_documents`, one document at a time: what the positions need is several times the text, and
    goes with its document.
    """
    text = _decode(text).removeprefix("\ufeff")
    # Every value written takes a character, so this bound is met by aliases only.
    values = _Values(max(MAX_VALUES, len(text)))
    for root in compose(text, use_c=use_c):
        value = values.of(root)
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


class _Values:
    """Builds plain values from nodes, within a budget of values for the whole file."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.warnings: list[YamlWarning] = []

    def of(self, node: Node, depth: int = 0) -> Any:
        """
        The value of a node.

        :param depth: of collections around it.
        """
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self.budget -= len(node.value)
        if self.budget < 0:
            _fail(node, f"the aliases unfold to more than {MAX_VALUES} values", "use fewer aliases")
        if depth >= MAX_DEPTH:
            _fail(node, f"the aliases nest more than {MAX_DEPTH} levels deep, or contain themselves")
        if isinstance(node, SequenceNode):
            _check_tag(node, "seq")
            return [self.of(item, depth + 1) for item in node.value]
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
                _fail(
                    key_node,
                    f"the key {quoted(key)} is written twice in one mapping",
                    "remove or rename one of them",
                )
            if key != key_node.value:
                self._scalar(key_node)  # for its warning
            result[key] = self.of(value_node, depth)
        if merged:
            for source in _merged_mappings(node):
                for key, value in self.of(source, depth).items():
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
            other = other_reading(node.value, value)
            if other:
                self._warn(node, value, other)
        return value

    def _warn_of_letter(self, node: ScalarNode) -> None:
        message = f"{name_text(node.value)} is text here, but a boolean to kubectl"
        self.warnings.append(YamlWarning(message, *_place(node), f"write {quoted(node.value)} in quotes"))

    def _warn(self, node: ScalarNode, value: Scalar, other: str) -> None:
        meaning = str(value).lower() if isinstance(value, bool) else f"the number {value}"
        self.warnings.append(
            YamlWarning(
                f"{name_text(node.value)} is {meaning} here and to kubectl, as in YAML 1.1, but {other} in YAML 1.2",
                *_place(node),
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
        # JSON escapes a character beyond the first 65536 as two, which belong together.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        _fail(node, "the text holds half of an escaped character", "write both halves, or the character itself")


def _key(node: Node) -> str | None:
    """A mapping's key as text; None for the merge key."""
    if not isinstance(node, ScalarNode):
        _fail(node, "a key is a list or a mapping, and Kubernetes knows texts only", "quote it if it is a text")
    if node.ctag is PLAIN and node.value == "<<":
        return None
    text = key_text(_scalar_value(node))
    if text is None:
        _fail(node, "a key is empty", 'write a name before the colon, or quote "null"')
    return text


def _merged_mappings(node: MappingNode) -> Iterator[MappingNode]:
    """The mappings that a mapping takes in by its merge keys, in the order of their precedence."""
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


def _place(node: Node) -> tuple[int, int]:
    mark = node.start_mark
    return mark.line + 1, mark.column + 1


def _fail(node: Node, message: str, hint: str = "") -> NoReturn:
    raise YamlError(message, *_place(node), hint)
