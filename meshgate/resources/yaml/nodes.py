"""
YAML text to trees of nodes, one per document, each node knowing its line and column.

The C parser does the work where it is installed. What it refuses goes to the pure Python one, from the
faulty document on: that one tells precisely what is wrong, takes some texts that the C parser's old libyaml
does not (``{url: https://a}``), and is the only one where the C parser is missing.
Knows nothing of what the nodes mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

try:
    from _ruamel_yaml import CParser  # type: ignore[import-not-found]
except ImportError:  # pragma: no cover - without the optional C parser
    CParser = None

from meshgate.resources.yaml.errors import YamlError, syntax_error

#: How deep the collections of a document may nest.
MAX_DEPTH: Final = 100

#: The tag of an unquoted word, which has still to be resolved; and of a collection without a tag.
PLAIN: Final = Tag(suffix="?")
#: The tag of a quoted text.
TEXT: Final = Tag(suffix="!")

#: Whether the C parser is installed.
HAVE_C_PARSER: Final = CParser is not None

# libyaml counts these as line ends, as YAML 1.1 has it; no editor does, so its line numbers would be off.
_ODD_LINE_ENDS = re.compile("[\x85\u2028\u2029]")


class _Tagging:
    """The part of a resolver that both parsers call: marks plain words, and bounds the depth."""

    depth = 0

    def resolve(self, kind: type[Node], value: str | None, implicit: Any) -> Tag:
        """
        The tag of a node that has none of its own. ``(False, False)`` is an empty value tagged ``!``, which
        the C parser alone distinguishes.
        """
        if isinstance(implicit, tuple):
            return TEXT if implicit == (False, True) else PLAIN
        return PLAIN

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        """Called before each node is composed."""
        self.depth += 1
        if self.depth > MAX_DEPTH and parent is not None:
            mark = parent.start_mark
            raise YamlError(f"the document nests more than {MAX_DEPTH} levels deep", mark.line + 1, mark.column + 1)

    def ascend_resolver(self) -> None:
        """Called after each node is composed."""
        self.depth -= 1


class _PureResolver(_Tagging, VersionedResolver):
    """The resolver for the pure parser."""


if CParser is not None:

    class _CComposer(_Tagging, CParser):
        """The C parser with our resolver."""

        def check_state_transition(self, *args: object) -> None:
            """Called by the C parser; there is nothing to check."""


def compose(text: str, *, use_c: bool = HAVE_C_PARSER) -> Iterator[Node]:
    """
    The root node of each document, composed as they are asked for; those of empty documents too.

    :param text: without a byte order mark.
    :param use_c: whether to use the C parser; both give the same nodes.
    :raises YamlError: while iterating.
    """
    if not use_c or _ODD_LINE_ENDS.search(text):
        yield from _compose_pure(text)
        return
    # A document counts once the next one has begun: only then is it sure that nothing stands between them.
    last: Node | None = None
    end = None
    refused = False
    try:
        composer = _CComposer(text)
        while composer.check_node():
            node = composer.get_node()
            if last is not None:
                end = last.end_mark
                yield last
            last = node
    except YamlError:
        raise
    except Exception:  # whatever it is, the pure parser says it better
        refused = True
    if refused:
        # Blanks in place of the documents already read keep the line and column numbers right.
        yield from _compose_pure(text if end is None else "\n" * end.line + " " * end.column + text[end.index :])
    elif last is not None:
        yield last


def _compose_pure(text: str) -> Iterator[Node]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    yaml.Resolver = _PureResolver
    yaml.composer.warn_double_anchors = False
    try:
        yield from yaml.compose_all(text)
    except (MarkedYAMLError, ReaderError) as error:
        raise syntax_error(error, text) from None
