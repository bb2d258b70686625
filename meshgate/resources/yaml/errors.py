"""Syntax errors of YAML in words for users, in place of the messages of ruamel.yaml's pure parser."""

from __future__ import annotations

import re
from typing import Final

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

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
