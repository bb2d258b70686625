"""
The annotations of a Gateway that say who may connect to its servers.

Istio has no field for it in a Gateway, and its AuthorizationPolicy is for workloads. The networks of a list are
separated by commas or white space, as in annotations of other gateways.
"""

from __future__ import annotations

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


def _fault(name: str, code: str, message: str, hint: str, severity: Severity = Severity.ERROR) -> Fault:
    return Fault(("metadata", "annotations", name), code, message, hint, severity)
