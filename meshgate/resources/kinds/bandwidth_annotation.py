"""The annotation of a DestinationRule that limits the bandwidth of its host, and how a bandwidth is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from meshgate.resources.fault import Fault
from meshgate.resources.wording import quoted

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
        path = ("metadata", "annotations", BANDWIDTH)
        yield Fault(path, "MG1100", f"{quoted(text)} is not a bandwidth", BANDWIDTH_HINT)
