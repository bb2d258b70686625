"""Tests of meshgate, one module per module, and end to end over real processes."""

from hypothesis import settings

# Speed is shown by benchmarks: a slow machine fails no property test.
settings.register_profile("meshgate", settings(), deadline=None)
settings.load_profile("meshgate")
