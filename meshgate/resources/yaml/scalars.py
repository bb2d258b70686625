"""
The meaning of an unquoted word in YAML, as ``kubectl`` reads it.

``kubectl`` and Istio read YAML 1.1 with go-yaml v2 (resolve.go) and convert it to JSON; this module follows them.
"""

from __future__ import annotations

import math
import re
from typing import Final

from meshgate.resources.wording import name_text, quoted

Scalar = str | int | float | bool | None

# A word that begins with any other character is text.
_FIRST: Final = frozenset("+-0123456789yYnNtTfFoO~.")

_WORDS: Final[dict[str, bool | float | None]] = {
    **dict.fromkeys(["yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}
# go-yaml v2 reads these as booleans, but PyYAML and most generators of YAML write such texts without quotes. They are
# text here: a Service named n is more likely than a boolean.
LETTERS: Final = frozenset(["y", "Y", "n", "N"])
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]{0,19}))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# go-yaml keeps whole numbers in 64 bits; larger decimal ones become floats.
_SMALLEST: Final = -(1 << 63)
_LARGEST: Final = (1 << 64) - 1

# Booleans and whole numbers in the core schema of YAML 1.2 (section 10.3.2).
_BOOLEAN_1_2: Final = frozenset(["true", "True", "TRUE", "false", "False", "FALSE"])
_INTEGER_1_2 = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")


def plain_value(word: str) -> Scalar:
    """The value of an unquoted word. Timestamps and numbers in base 60 stay text, as in go-yaml."""
    if word and word[0] not in _FIRST:
        return word
    if word in _WORDS:
        return _WORDS[word]
    if word[0] in "+-0123456789":
        return _number(word.replace("_", ""), word)
    return _float(word, word) if word[0] == "." else word


def _number(digits: str, word: str) -> Scalar:
    match = _INTEGER.fullmatch(digits)
    if match is not None:
        sign, hexadecimal, binary, octal, decimal = match.groups()
        if hexadecimal:
            value = int(hexadecimal, 16)
        elif binary:
            value = int(binary, 2)
        else:
            value = int(octal, 8) if octal else int(decimal)
        value = -value if sign == "-" else value
        if _SMALLEST <= value <= _LARGEST:
            return value
    return _float(digits, word)


def _float(digits: str, word: str) -> float | str:
    if _FLOAT.fullmatch(digits) is None:
        return word
    value = float(digits)
    return word if math.isinf(value) else value


def key_text(value: Scalar) -> str | None:
    """The key of a mapping as ``kubectl`` writes it in JSON; None for a key that JSON cannot have."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return None if value is None else str(value)


def meaning_in_yaml_1_2(word: str, value: Scalar) -> str:
    """
    The meaning of a word in YAML 1.2, where that differs from :func:`plain_value`; otherwise an empty text.

    :return: the other meaning in words, as ``the text "on"`` or ``the number 10``.
    """
    if isinstance(value, bool):
        return "" if word in _BOOLEAN_1_2 else f"the text {quoted(word)}"
    if isinstance(value, str) or value is None or _INTEGER_1_2.fullmatch(word):
        return ""
    digits = word.lstrip("+-")
    if digits[0] == "0" and digits.isdecimal():
        sign = "-" if word[0] == "-" else ""
        return f"the number {sign}{name_text(digits.lstrip('0') or '0')}"
    return f"the text {quoted(word)}" if isinstance(value, int) or "_" in word else ""
