"""Tests of :mod:`meshgate.api.pods.rollouts`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.pods.rollouts import SetSize, kept_revisions, limits, next_step, revision_of


def with_strategy(form: str = "RollingUpdate", **rolling: Any) -> dict[str, Any]:
    """A Deployment with a strategy."""
    return {"metadata": {"name": "a"}, "spec": {"strategy": {"type": form, "rollingUpdate": rolling}}}


class RolloutTests(SynchronousTestCase):
    """The steps of a rolling update."""

    def test_limits(self) -> None:
        """Percentages are rounded up for the surge, and down for those that may be missing; both never are 0."""
        for rolling, replicas, wanted in (
            ({}, 4, (1, 1)),
            ({}, 1, (1, 0)),
            ({"maxSurge": 2, "maxUnavailable": "50%"}, 5, (2, 2)),
            ({"maxSurge": 0, "maxUnavailable": 0}, 5, (0, 1)),
            ({"maxSurge": "x", "maxUnavailable": -1}, 4, (1, 1)),
        ):
            self.assertEqual(limits(with_strategy(**rolling), replicas), wanted)

    def test_recreate(self) -> None:
        """All old Pods go before the first new one comes."""
        recreate = with_strategy("Recreate")
        self.assertEqual(next_step(recreate, 3, SetSize(0, 0), [SetSize(3, 3)]), (0, (0,)))
        self.assertEqual(next_step(recreate, 3, SetSize(0, 0), [SetSize(0, 0)]), (3, (0,)))

    def test_pods_that_never_become_ready(self) -> None:
        """An update to Pods that cannot run leaves the old ones in place."""
        self.assertEqual(next_step(with_strategy(), 3, SetSize(1, 0), [SetSize(3, 3)]), (1, (3,)))

    def test_numbers(self) -> None:
        """Odd revisions and limits count as none."""
        for text, wanted in (("3", 3), ("x", 0), ("-1", 0), ("9" * 40, 0)):
            annotations = {"deployment.kubernetes.io/revision": text}
            self.assertEqual(revision_of({"metadata": {"annotations": annotations}}), wanted)
        for limit, kept in ((0, 0), (3, 3), (-1, 10), (None, 10)):
            self.assertEqual(kept_revisions({"spec": {"revisionHistoryLimit": limit}}), kept)

    @given(
        st.integers(0, 20),
        st.lists(st.integers(0, 20), max_size=3),
        st.sampled_from([0, 1, "25%", "100%"]),
        st.sampled_from([0, 1, "25%", "100%"]),
    )
    def test_every_update_ends(self, replicas: int, old: list[int], surge: Any, missing: Any) -> None:
        """Where each Pod becomes ready, an update ends, and keeps the limits on its way."""
        deployment = with_strategy(maxSurge=surge, maxUnavailable=missing)
        most, fewest = limits(deployment, replicas)
        new, start = 0, sum(old)
        for _ in range(200):
            sizes = [SetSize(each, each) for each in old]
            following, others = next_step(deployment, replicas, SetSize(new, new), sizes)
            total = following + sum(others)
            self.assertLessEqual(total, max(replicas + most, new + start))
            self.assertGreaterEqual(total, min(replicas - fewest, new + sum(old)))
            if (following, list(others)) == (new, old):
                break
            new, old = following, list(others)
        self.assertEqual((new, sum(old)), (replicas, 0))
