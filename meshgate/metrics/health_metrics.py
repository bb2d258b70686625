"""The metrics of active health checks."""

from __future__ import annotations

from collections.abc import Iterator

from meshgate.health.health_checks import HealthChecks
from meshgate.metrics import metric_families as f


class HealthMetrics:
    """Makes these families. An endpoint that has several checks counts once, and as unhealthy if one of them fails."""

    def __init__(self, checks: HealthChecks) -> None:
        self._checks = checks

    def metrics(self) -> Iterator[f.FamilyMetric]:
        """The families."""
        healthy: dict[f.LabelValues, bool] = {}
        made: dict[f.LabelValues, int] = {}
        for each in self._checks.counts():
            labels = each.destination, each.endpoint
            healthy[labels] = healthy.get(labels, True) and each.healthy
            for result, count in (("success", each.succeeded), ("failure", each.failed)):
                made[*labels, result] = made.get((*labels, result), 0) + count
        yield f.HEALTHY.metric((labels, float(each)) for labels, each in healthy.items())
        yield f.HEALTH_CHECKS.metric(made.items())
