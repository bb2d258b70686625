"""
The forms of names: DNS labels and domains, addresses and networks, labels of Kubernetes.

A check takes a text and returns a message that says what is wrong with it, or an empty text. The rules are Istio's
(pkg/config/validation/agent/validation.go and pkg/config/labels). For a bad name, :func:`name_hint` guesses the good
one that the user meant. The types at the end of the file are texts that a model checks in this way.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Final

from pydantic import AfterValidator

from meshgate.resources.model import refuse
from meshgate.resources.wording import quoted

_LONGEST_LABEL: Final = 63
_LONGEST_DOMAIN: Final = 255
_LONGEST_PREFIX: Final = 253

_LABEL: Final = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_WILDCARD_LABEL = re.compile(rf"\*|(?:\*-?)?{_LABEL}")
# The prefix of a label's key, before the slash; the labels of this domain may have any length.
_KEY_PREFIX = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?)*")
_QUALIFIED = re.compile(r"[a-zA-Z0-9](?:[-_.a-zA-Z0-9]*[a-zA-Z0-9])?")
_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


def dns_label(text: str) -> str:
    """Check a DNS label, in upper or lower case (RFC 1123)."""
    if _DNS_LABEL.fullmatch(text):
        return ""
    return f"{quoted(text)} is not a DNS label: it {_label_fault(text)}"


def fqdn(text: str) -> str:
    """Check a domain name. It may end with a dot; its last label may not be a number."""
    if len(text) <= _LONGEST_DOMAIN and _DOMAIN.fullmatch(text) and not _ends_in_number(text):
        return ""
    return f"{quoted(text)} is not a domain name: {_domain_fault(text, text)}"


def wildcard_domain(text: str) -> str:
    """
    Check a domain name of which the first label may be ``*`` or begin with it.

    A single label may be a number, as in Istio; an IPv4 address is no domain.
    """
    first, _, rest = text.partition(".")
    if len(text) <= _LONGEST_DOMAIN and _is_wildcard_label(first) and (not rest or not fqdn(rest)):
        return ""
    return f"{quoted(text)} is not a domain name: {_wildcard_fault(text, first, rest)}"


GENERATED_PREFIX: Final = "outbound_."
"""The beginning of the names that Istio generates for AUTO_PASSTHROUGH."""


def server_name(text: str) -> str:
    """Check a server name: a wildcard domain, or a name in the form that AUTO_PASSTHROUGH generates."""
    if not text.startswith(GENERATED_PREFIX):
        return wildcard_domain(text)
    if len(text) > _LONGEST_DOMAIN:
        return f"{quoted(text)} is not a server name: it has more than {_LONGEST_DOMAIN} characters"
    parts = text.split("_", 3)
    if len(parts) == 4 and re.search("[0-9]", parts[1]) and re.search("[a-zA-Z]", parts[3]):
        return ""
    return f"{quoted(text)} is not of the form outbound_.PORT_.SUBSET_.HOST"


def ip_address(text: str) -> str:
    """Check an IPv4 or IPv6 address."""
    return "" if is_ip_address(text) else f"{quoted(text)} is not an IP address"


def is_ip_address(text: str) -> bool:
    """Return True if a text is an IPv4 or IPv6 address."""
    # The last character rules most names out, which is faster than an exception.
    if not text or (text[-1] not in "0123456789abcdefABCDEF:" and "%" not in text):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def subnet(text: str) -> str:
    """Check an IP address or a network in CIDR form; the bits after the prefix may be set."""
    address, slash, length = text.partition("/")
    if not slash:
        return "" if is_ip_address(text) else f"{quoted(text)} is neither an IP address nor a network, as 10.1.0.0/16"
    if not is_ip_address(address) or "%" in address:
        return f"{quoted(text)} is not a network: {quoted(address)} is not an IP address"
    longest = ipaddress.ip_address(address).max_prefixlen
    if not _PREFIX_LENGTH.fullmatch(length) or int(length) > longest:
        return f"{quoted(text)} is not a network: the prefix is a number from 0 to {longest}, not {quoted(length)}"
    return ""


def unix_path(text: str) -> str:
    """Check the absolute path of a Unix socket, or its abstract name, which begins with ``@``."""
    if text.startswith("@") or (text.startswith("/") and not text.endswith("/")):
        return ""
    if not text:
        return "the path of the Unix socket is empty"
    return f"{quoted(text)} is neither the absolute path of a Unix socket nor an abstract name with @ before it"


def labels(mapping: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """
    Check Kubernetes labels.

    :param mapping: labels, or a selector of labels.
    :return: for each bad label its key, and a message about its key or its value.
    """
    for key, value in mapping.items():
        message = _label_key_fault(key) or _label_value_fault(value)
        if message:
            yield key, message


def _label_key_fault(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > _LONGEST_PREFIX or not _KEY_PREFIX.fullmatch(prefix)):
        return f"{quoted(key)} is not a label's key: the text before the slash must be a domain name"
    if len(name) > _LONGEST_LABEL:
        return f"{quoted(key)} is not a label's key: its name has more than {_LONGEST_LABEL} characters"
    if not _QUALIFIED.fullmatch(name):
        return f"{quoted(key)} is not a label's key: {_qualified_form(name)}"
    return ""


def _label_value_fault(value: str) -> str:
    if not value or _QUALIFIED.fullmatch(value):
        return ""
    return f"{quoted(value)} is not a label's value: {_qualified_form(value)}"


def _qualified_form(text: str) -> str:
    if not text:
        return "its name is empty"
    bad = re.search("[^-_.a-zA-Z0-9]", text)
    return f"it has the character {quoted(bad[0])}" if bad else "it must begin and end with a letter or digit"


def _is_wildcard_label(label: str) -> bool:
    return len(label) <= _LONGEST_LABEL and _WILDCARD_LABEL.fullmatch(label) is not None


def _ends_in_number(text: str) -> bool:
    return text.rpartition(".")[2].isdigit()


def _wildcard_fault(text: str, first: str, rest: str) -> str:
    if not text or len(text) > _LONGEST_DOMAIN:
        return _domain_fault(text, text)
    if not _is_wildcard_label(first):
        return _labels_fault([first], text)
    return _domain_fault(rest, text)


def _domain_fault(domain: str, text: str) -> str:
    """
    Say what is wrong with something that is no domain name.

    :param domain: the text, without a first label that was checked already.
    :param text: the whole text.
    """
    if not text:
        return "it is empty"
    if len(text) > _LONGEST_DOMAIN:
        return f"it has more than {_LONGEST_DOMAIN} characters"
    if _ends_in_number(domain):
        return f"its last label {domain.rpartition('.')[2]} is a number"
    return _labels_fault(domain.removesuffix(".").split("."), text)


def _labels_fault(labels: list[str], text: str) -> str:
    bad = next(label for label in labels if not _DNS_LABEL.fullmatch(label))
    if "*" in bad and len(bad) <= _LONGEST_LABEL:
        return 'one "*" is allowed, as the first label or at its beginning'
    return f"it {_label_fault(bad)}" if bad == text else f"its label {quoted(bad)} {_label_fault(bad)}"


def _label_fault(label: str) -> str:
    """Say what is wrong with something that is no DNS label, in words that follow a subject."""
    if not label:
        return "is empty"
    if len(label) > _LONGEST_LABEL:
        return f"has more than {_LONGEST_LABEL} characters"
    bad = re.search("[^-a-zA-Z0-9]", label)
    if bad:
        return f"has the character {quoted(bad[0])}"
    return 'begins with "-"' if label.startswith("-") else 'ends with "-"'


NameCheck = Callable[[str], str]

SUBNET_HINT: Final = "write an address, a slash, and how many of its first bits count"
DOT_HINT: Final = "a dot at the end of a host counts"

_SEPARATORS: Final = str.maketrans("_ ", "--")


def checked_by(check: NameCheck, code: str, hint: str = "", guess: bool = True) -> AfterValidator:
    """
    Make a validator that refuses texts with a check.

    :param check: returns what is wrong with a text, or an empty text.
    :param hint: the hint where no good name is guessed.
    :param guess: guess the good name that the user meant.
    """

    def validated(text: str) -> str:
        message = check(text)
        if not message:
            return text
        return refuse(code, message, (guess and name_hint(text, check)) or hint)

    return AfterValidator(validated)


def name_hint(text: str, check: NameCheck) -> str:
    """Guess the good name that a bad one was meant to be, as a hint; empty where none is near."""
    found = next((name for name in _corrections(text) if not check(name)), "")
    return f"did you mean {quoted(found)}?" if found else ""


def _corrections(text: str) -> Iterator[str]:
    """Correct a text step by step: cut off blanks, scheme, path and port, and put hyphens for underscores."""
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
DnsLabel = Annotated[str, checked_by(dns_label, "MG1020", "use letters, digits and -")]
#: A name without dots, or an empty text.
OptionalDnsLabel = Annotated[
    str, checked_by(lambda text: dns_label(text) if text else "", "MG1020", "use letters, digits and -")
]
#: A domain name of which the first label may be ``*`` or begin with it.
WildcardDomain = Annotated[str, checked_by(wildcard_domain, "MG1021")]
#: An IP address, or a network as ``10.1.0.0/16``.
Subnet = Annotated[str, checked_by(subnet, "MG1022", SUBNET_HINT, guess=False)]
