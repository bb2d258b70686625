"""A subset's endpoints: those with its labels. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from meshgate.routing.compile.catalog import CatalogPort, selected
from meshgate.routing.table import Endpoint


def endpoints_of(port: CatalogPort, labels: Mapping[str, str]) -> tuple[tuple[Endpoint, ...], str]:
    """
    The endpoints of a port that a subset selects, and where there are none, why.

    :param labels: the subset's; none select all.
    """
    if not labels or not port.endpoints:
        return port.endpoints, port.missing
    chosen = tuple(
        endpoint
        for endpoint, known in zip(port.endpoints, port.labels, strict=True)
        if known is not None and selected(labels, known)
    )
    return chosen, "" if chosen else _why_none(port, labels)


def _why_none(port: CatalogPort, labels: Mapping[str, str]) -> str:
    wanted = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    reason = f"none of its {len(port.labels)} endpoints is labeled {wanted}"
    unknown = sum(known is None for known in port.labels)
    return reason + (f", as far as labels are known: the Pods of {unknown} are not given" if unknown else "")
