"""Times of the wall clock as text."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def iso_time(seconds: float | None = None) -> str:
    """
    A time in UTC as ISO 8601 with milliseconds, as ``2026-01-31T12:00:00.000Z``.

    :param seconds: since the epoch; None for now.
    """
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
