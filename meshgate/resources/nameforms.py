"""
Types of texts that must have the form of a name, and hints for those that have not.

Knows the checks of :mod:`~meshgate.resources.names` and what people write in place of a name; knows no fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Final

from pydantic import AfterValidator

from meshgate.resources import names
from meshgate.resources.model import refuse
from meshgate.resources.wording import quoted

Check = Callable[[str], str]

SUBNET_HINT: Final = "write an address, a slash, and how many of its first bits count"
DOT_HINT: Final = "a dot at the end of a host counts"

_SEPARATORS: Final = str.maketrans("_ ", "--")


def checked(check: Check, code: str, hint: str = "", guess: bool = True) -> AfterValidator:
    """
    Refuses a text that a check finds fault with.

    :param check: gives what is wrong, or an empty text.
    :param hint: for texts that are not near to a good one.
    :param guess: look for a good one that is near.
    """

    def fine(text: str) -> str:
        message = check(text)
        if not message:
            return text
        return refuse(code, message, (guess and likely(text, check)) or hint)

    return AfterValidator(fine)


def likely(text: str, check: Check) -> str:
    """A hint with the good name that a bad one was probably meant to be; empty where none is near."""
    found = next((name for name in _meanings(text) if not check(name)), "")
    return f"did you mean {quoted(found)}?" if found else ""


def _meanings(text: str) -> Iterator[str]:
    """What a text may have been meant to be: without blanks, URL parts or a port, with hyphens for underscores."""
    bare = text.strip()
    yield bare
    bare = bare.partition("://")[2] or bare
    head = bare.partition("/")[0]
    if "." in head:
        bare = head
    yield bare
    bare = bare.rpartition(":")[0] or bare
    yield bare
    yield bare.translate(_SEPARATORS).strip("-.")


#: A name without dots.
DnsLabel = Annotated[str, checked(names.dns_label, "MG1020", "use letters, digits and -")]
#: A name without dots, or nothing.
OptionalDnsLabel = Annotated[
    str, checked(lambda text: names.dns_label(text) if text else "", "MG1020", "use letters, digits and -")
]
#: A domain name, of which the first label may be or begin with ``*``.
WildcardDomain = Annotated[str, checked(names.wildcard_domain, "MG1021")]
#: An IP address, or a network as ``10.1.0.0/16``.
Subnet = Annotated[str, checked(names.subnet, "MG1022", SUBNET_HINT, guess=False)]
