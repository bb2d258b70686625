"""
The annotations about PROXY headers, for which Istio has no fields.

That of a Gateway says if its connections begin with a header; Istio has that for all gateways at once alone
(``gatewayTopology.proxyProtocol`` of the proxy's configuration). That of a DestinationRule says which fields are sent
beside ``proxyProtocol``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from meshgate.resources.fault import Fault
from meshgate.resources.problem import Severity
from meshgate.resources.wording import quoted, spelling_hint

EXPECTED: Final = "meshgate.io/proxy-protocol"
FIELDS: Final = "meshgate.io/proxy-protocol-fields"

NONE: Final = "none"
OPTIONAL: Final = "optional"
STRICT: Final = "strict"
MODES: Final = (NONE, OPTIONAL, STRICT)

AUTHORITY: Final = "authority"
ALPN: Final = "alpn"
UNIQUE_ID: Final = "unique-id"
SENT_FIELDS: Final = (AUTHORITY, ALPN, UNIQUE_ID)

_SEPARATOR: Final = re.compile(r"[\s,]+")


def gateway_header_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    """The fault of a Gateway's annotation whose value is none of :data:`MODES`."""
    mode = annotations.get(EXPECTED, NONE)
    if mode not in MODES:
        message = f"must be {', '.join(MODES[:-1])} or {MODES[-1]}, not {quoted(mode)}"
        yield _fault(EXPECTED, "MG1100", message, spelling_hint(mode, MODES))


def rule_header_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    """The faults of a DestinationRule's annotation that names fields which are not sent."""
    names = sent_fields(annotations)
    if FIELDS in annotations and not names:
        message, hint = f"the annotation {FIELDS} names no field", "name some with commas between them, or leave it out"
        yield _fault(FIELDS, "MG1101", message, hint, Severity.WARNING)
    for name in names:
        if name not in SENT_FIELDS:
            message = f"must name {', '.join(SENT_FIELDS[:-1])} or {SENT_FIELDS[-1]}, not {quoted(name)}"
            yield _fault(FIELDS, "MG1100", message, spelling_hint(name, SENT_FIELDS))


def sent_fields(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The names in a DestinationRule's annotation, between which there are commas or white space."""
    return tuple(filter(None, _SEPARATOR.split(annotations.get(FIELDS, ""))))


def _fault(name: str, code: str, message: str, hint: str, severity: Severity = Severity.ERROR) -> Fault:
    return Fault(("metadata", "annotations", name), code, message, hint, severity)
