"""Tests of meshgate, one module per module, and end to end over real processes."""

import os

from hypothesis import settings

# Speed is shown by benchmarks: a slow machine fails no property test.
settings.register_profile("meshgate", settings(), deadline=None)
settings.load_profile("meshgate")


def examples(number: int) -> int:
    """
    The number of random examples that a test tries which takes long: all of them on continuous integration
    (``CI=true``), and a quarter elsewhere, where tests run many times a day.
    """
    return number if os.environ.get("CI") == "true" else number // 4
