"""
The annotations that only this gateway reads, for what Istio has no field for, and the kinds that may have them.

Those of a Gateway say who may connect to its servers, and if connections begin with a PROXY header: Istio's
AuthorizationPolicy is for workloads, and its ``gatewayTopology.proxyProtocol`` for all gateways at once. Networks of a
list are separated by commas or white space, as in annotations of other gateways. Those of a DestinationRule say which
fields are sent beside ``proxyProtocol``, and how much bandwidth its host has.

Kubernetes takes any annotation. So a misspelled one would be ignored silently, which must not happen to one that keeps
strangers out: :func:`unread_faults` warns of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from meshgate.resources.fault import Fault
from meshgate.resources.networks import UnusableNetworkError, overlap_text, overlaps, read_network, split_networks
from meshgate.resources.problem import Severity
from meshgate.resources.wording import quoted, spelling_hint

ALLOW: Final = "meshgate.io/allow"
DENY: Final = "meshgate.io/deny"
DRY_RUN: Final = "meshgate.io/access-dry-run"

_TRUE, _FALSE = "true", "false"


def access_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    """The faults of these annotations: networks that are none, and those that have no effect."""
    lists = {name: split_networks(annotations[name]) for name in (ALLOW, DENY) if name in annotations}
    faulty = False
    for name, texts in lists.items():
        if not texts:
            message = f"the annotation {name} names no network"
            yield _fault(name, "MG1100", message, "write networks with commas between them, or leave it out")
        for text in texts:
            try:
                read_network(text)
            except UnusableNetworkError as error:
                faulty = True
                yield _fault(name, "MG1100", error.message, error.hint)
    if not faulty:
        for in_allow, index, listed, other in overlaps(lists.get(ALLOW, ()), lists.get(DENY, ())):
            name = ALLOW if in_allow else DENY
            yield _fault(name, "MG1101", *overlap_text(lists[name][index], listed, other, in_allow), Severity.WARNING)
    dry_run = annotations.get(DRY_RUN, _FALSE)
    if dry_run not in (_TRUE, _FALSE):
        hint = spelling_hint(dry_run, (_TRUE, _FALSE))
        yield _fault(DRY_RUN, "MG1100", f'must be "true" or "false", not {quoted(dry_run)}', hint)
    elif DRY_RUN in annotations and not lists:
        message = f"the annotation has no effect without {ALLOW} or {DENY}"
        yield _fault(DRY_RUN, "MG1101", message, "add one of them, or leave it out", Severity.WARNING)


def wants_dry_run(annotations: Mapping[str, str]) -> bool:
    """True if the lists of these annotations are only tried."""
    return annotations.get(DRY_RUN) == _TRUE


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


BANDWIDTH: Final = "meshgate.io/bandwidth"
BANDWIDTH_HINT: Final = "write it as 512KiB/s, 10MiB/s or 1GiB/s"

_BANDWIDTH: Final = re.compile(r"([1-9][0-9]{0,5}) ?(KiB|MiB|GiB) ?/ ?s")
_UNITS: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def parse_bandwidth(text: str) -> int | None:
    """Parse a bandwidth, as ``10MiB/s``, to bytes for each second; None if the text is none."""
    match = _BANDWIDTH.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def bandwidth_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    """The fault of the annotation, if it has one."""
    text = annotations.get(BANDWIDTH)
    if text is not None and parse_bandwidth(text) is None:
        yield _fault(BANDWIDTH, "MG1100", f"{quoted(text)} is not a bandwidth", BANDWIDTH_HINT)


PREFIX: Final = "meshgate.io/"

HEALTH_CHECK: Final = "meshgate.io/health-check"

KINDS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    ALLOW: ("Gateway",),
    DENY: ("Gateway",),
    DRY_RUN: ("Gateway",),
    EXPECTED: ("Gateway",),
    FIELDS: ("DestinationRule",),
    BANDWIDTH: ("DestinationRule",),
    HEALTH_CHECK: ("DestinationRule", "Service", "ServiceEntry"),
}
"""The kinds on which each annotation is read."""


def unread_faults(kind: str, annotations: Mapping[str, str]) -> Iterator[Fault]:
    """A warning for each annotation of ours that is not known, or not read on this kind."""
    for name in annotations:
        if not name.startswith(PREFIX):
            continue
        kinds = KINDS_OF.get(name)
        if kinds is None:
            message, hint = f"the annotation {name} is not known, and has no effect", spelling_hint(name, KINDS_OF)
        elif kind not in kinds:
            message, hint = f"the annotation {name} has no effect on a {kind}", f"it is for {' and '.join(kinds)}"
        else:
            continue
        yield Fault(("metadata", "annotations", name), "MG1101", message, hint, Severity.WARNING, points_at_key=True)
