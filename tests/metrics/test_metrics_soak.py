"""The soak of the metrics, in small."""

from __future__ import annotations

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from benchmarks.metrics_soak import counted, run


class MetricsSoakTests(TestCase):
    """``python -m benchmarks.metrics_soak``, which is the same with more of everything."""

    timeout = 100

    async def test_in_small(self) -> None:
        """Series are read in time, and strangers leave nothing behind."""
        findings = await deferToThread(lambda: [*run(20, 300), *counted(20_000)])
        self.assertEqual([each.text for each in findings if not each.fits], [])
        self.assertEqual(len(findings), 6)
