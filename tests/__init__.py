"""
Tests of meshgate, one module per module, and end to end over real processes.

Most of the time of all tests goes into the start of Pythons, of which there are hundreds: a gateway with two workers
takes a second of a processor, and a command a third of one. To keep them quick:

- Ask the functions behind a command or a setting for all cases, and the real program for one that shows that it calls
  them. One gateway can be asked about several facts of the same state.
- A gateway of one worker (``workers: 1``) starts sooner than one of as many as there are processors.
- Wait for an event, by :func:`tests.support.wait_for`, and make the settings short for which the gateway itself waits.
- Give a property test that takes long its number of examples by :func:`examples`.

``make test`` begins with the modules that start programs, which it finds by the names that they import.
"""

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
