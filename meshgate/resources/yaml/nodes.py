"""
From YAML text to trees of nodes, one tree a document; every node has its line and column.

The C parser does the work where it is installed. Where it refuses a document, the pure Python parser goes on from
there, for two reasons: it says precisely what is wrong, and it accepts some texts that the C parser's old libyaml
refuses (``{url: https://a}``). Without the C parser, the pure one reads everything. Both give the same nodes. Syntax
errors are told in words for users, in place of the messages of ruamel.yaml's pure parser.
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

from meshgate.resources.wording import quoted


class YamlError(Exception):
    """
    A text that is not readable as YAML.

    :ivar message: what is wrong, in one sentence without a full stop.
    :ivar line: the line of the fault, from 1.
    :ivar column: its column, from 1.
    :ivar hint: what to do about it, or empty.
    """

    def __init__(self, message: str, line: int, column: int, hint: str = "") -> None:
        super().__init__(message, line, column, hint)
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}" + (f" ({self.hint})" if self.hint else "")


#: The depth to which the collections of a document may nest.
MAX_DEPTH: Final = 100

#: The tag of an unquoted word, whose type is not decided yet, and of a collection without a tag.
PLAIN: Final = Tag(suffix="?")
#: The tag of a quoted text.
TEXT: Final = Tag(suffix="!")

#: True if the C parser is installed.
HAVE_C_PARSER: Final = CParser is not None

# libyaml counts these as line ends, as YAML 1.1 says; editors do not, so its line numbers would be wrong.
_ODD_LINE_ENDS = re.compile("[\x85\u2028\u2029]")


# The end of a JSON object and the beginning of the next one, as several runs of "kubectl get -o json" give them.
_NEXT_OBJECT = re.compile(r"\}[ \t\r]*\n(?=\{)")


class _Tagging:
    """The methods of a resolver that both parsers call: mark plain words, and limit the depth."""

    depth = 0

    def resolve(self, kind: type[Node], value: str | None, implicit: Any) -> Tag:
        """
        Return the tag of a node that has none of its own.

        :param implicit: ``(False, False)`` is an empty value with the tag ``!``, which only the C parser distinguishes.
        """
        if isinstance(implicit, tuple):
            return TEXT if implicit == (False, True) else PLAIN
        return PLAIN

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        """Go down one level; a parser calls this before it composes a node."""
        self.depth += 1
        if self.depth > MAX_DEPTH and parent is not None:
            mark = parent.start_mark
            raise YamlError(f"the document nests more than {MAX_DEPTH} levels deep", mark.line + 1, mark.column + 1)

    def ascend_resolver(self) -> None:
        """Go up one level; a parser calls this after it has composed a node."""
        self.depth -= 1


class _PureResolver(_Tagging, VersionedResolver):
    """The resolver for the pure parser."""


if CParser is not None:

    class _CComposer(_Tagging, CParser):
        """The C parser with our resolver."""

        def check_state_transition(self, *args: object) -> None:
            """Do nothing; the C parser calls this."""


def compose(text: str, *, use_c: bool = HAVE_C_PARSER) -> Iterator[Node]:
    """
    Compose the root node of each document, empty ones included, one after the other.

    :param text: the text, without a byte order mark.
    :param use_c: use the C parser; both give the same nodes.
    :raises YamlError: a document cannot be read; raised while iterating.
    """
    for chunk in _split_json(text):
        yield from _compose(chunk, use_c)


def _split_json(text: str) -> Iterator[str]:
    """Split JSON objects that follow each other, with blank lines in place of those before, so that lines count on."""
    start = lines = 0
    for match in _NEXT_OBJECT.finditer(text) if text.lstrip().startswith("{") else ():
        yield "\n" * lines + text[start : match.end()]
        lines += text.count("\n", start, match.end())
        start = match.end()
    yield "\n" * lines + text[start:]


def _compose(text: str, use_c: bool) -> Iterator[Node]:
    if not use_c or _ODD_LINE_ENDS.search(text):
        yield from _compose_pure(text)
        return
    # A document is complete once the next one has begun: only then is it certain that nothing else follows it.
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
    except Exception:  # of any type; the pure parser has the better message
        refused = True
    if refused:
        # Blanks instead of the documents already read keep line and column numbers right.
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


# A pattern for the parser's context and problem, and the message and hint to show instead. {start} is the line where
# the collection or scalar began that the parser was reading, {what} the last thing that the parser's problem quotes.
_IN_WORDS: Final = (
    (r"character '\\t'", "there is a tab where YAML needs spaces", "indent with spaces"),
    (
        r"that cannot start any token",
        "a text cannot start with {what}",
        "put the text in quotes",
    ),
    (
        r"mapping values are not allowed",
        "there is a colon where no key can be",
        'indent the line as its neighbors, or quote a text that contains ": "',
    ),
    (r"quoted scalar.*(end of stream|document separator)", "a quote is never closed", "close the quote"),
    (
        r"could not find expected ':'",
        "a key lacks its colon, or a text of several lines lacks its indentation",
        'write "key: value"',
    ),
    (
        r"flow (sequence|mapping).*expected ',' or",
        "the bracket opened in line {start} is not closed, or a comma is missing",
        "separate the entries by commas, and close the bracket",
    ),
    (
        r"expected <block end>",
        "the line does not fit the list or mapping that began in line {start}",
        "indent it as its neighbors",
    ),
    (
        r"expected '<document start>'",
        "something follows where the document has ended",
        'check the indentation, or begin a new document with "---"',
    ),
    (r"expected the node content", "a value is missing before {what}", ""),
    (r"undefined alias", "the alias {what} has no anchor before it", "write the anchor first, as &name"),
    (
        r"unknown escape character",
        "a backslash with {what} is no escape sequence",
        "use single quotes, in which a backslash is just that",
    ),
    (r"undefined tag handle", "the tag {what} is not known", "leave it out"),
)


def syntax_error(error: MarkedYAMLError | ReaderError, text: str) -> YamlError:
    """
    Translate an error of the parser, at the line and column where the parser found it.

    :param text: the text that was parsed.
    """
    if isinstance(error, ReaderError):
        return _bad_character(error, text)
    mark = error.problem_mark or error.context_mark
    start = error.context_mark or mark
    problem = " ".join(str(error.problem or error.context).split())
    for pattern, message, hint in _IN_WORDS:
        if re.search(pattern, f"{error.context or ''}: {problem}"):
            if "never closed" in message:
                mark = start
            words = message.format(start=start.line + 1, what=_last_quoted(problem))
            return YamlError(words, mark.line + 1, mark.column + 1, hint)
    return YamlError(problem, mark.line + 1, mark.column + 1)


def _last_quoted(problem: str) -> str:
    what = re.findall(r"'(<?[^']+?>?)'", problem)
    if not what or what[-1] == "<stream end>":
        return "the end"
    return quoted(what[-1])


def _bad_character(error: ReaderError, text: str) -> YamlError:
    before = text[: error.position]
    return YamlError(
        f"the character U+{error.character:04X} is not allowed in YAML",
        before.count("\n") + 1,
        error.position - before.rfind("\n"),
        "remove it, or write it as an escape sequence in double quotes",
    )
