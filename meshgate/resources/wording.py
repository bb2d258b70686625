"""Text for messages: values, names and paths in a form that fits into one short line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, Final

_LONGEST: Final = 60


def quoted(text: str) -> str:
    """A text in double quotes, with unprintable characters escaped, and cut off where it is long."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return json.dumps(short, ensure_ascii=not short.isprintable())


def name_text(name: str) -> str:
    """A name as it is, or quoted where it could not be distinguished from the words around it."""
    plain = name.isprintable() and " " not in name and 0 < len(name) <= _LONGEST
    return name if plain else quoted(name)


def value_text(value: Any) -> str:
    """The type of a plain value in words, with the value itself where it is short."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        # Python refuses to print a whole number of thousands of digits.
        return f"the number {value}" if abs(value) < 1e20 or value != value else "a very large number"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    return "empty" if value is None else f"a {type(value).__name__}"


def count_of(number: int, noun: str) -> str:
    """Count things: ``1 name``, ``2 names``, ``3 policies``."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The plural of a noun, whose last word is the noun proper: ``names``, ``policies``, ``addresses``, ``info``."""
    if noun == "info":
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun.removesuffix('y')}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def listing(texts: Sequence[str]) -> str:
    """Join texts as in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def verb(subjects: Sized, singular: str, plural: str) -> str:
    """The form of a verb for its subjects, as they are listed before it."""
    return singular if len(subjects) == 1 else plural


def spelling_hint(name: str, known: Iterable[str]) -> str:
    """
    A hint for a word that is not among the known ones: the one that was probably meant, or else all of them.

    :param known: the words that are allowed.
    """
    words = list(known)
    folded = {word.lower(): word for word in words}
    near = difflib.get_close_matches(name.lower(), folded, 1)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"one of {', '.join(words)}" if words else ""


def path_text(path: Sequence[str | int]) -> str:
    """A path as users write it: ``spec.servers[0].port.number``, ``metadata.labels["a.b/c"]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("-", "").replace("_", "").isalnum():
            text += f".{step}" if text else step
        else:
            text += f"[{quoted(step)}]"
    return text
