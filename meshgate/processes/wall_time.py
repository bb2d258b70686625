"""The wall clock's times as people and programs read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def iso_time(seconds: float | None = None) -> str:
    """
    A time in UTC, in the form of ISO 8601 with milliseconds.

    :param seconds: since the epoch; None for now.
    """
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
