"""
Readiness: can this gateway be sent clients, and if not, what is missing?

A load balancer or Kubernetes asks again and again, and sends clients elsewhere while the answer is no. So the answer is
no only for what another gateway may do better. At the start, every port has to be bound, every provider has to have
answered, and all workers have to serve the first table. Once that was so, one port that cannot be bound, or one failing
provider, is a problem for people, and no reason to take the other routes from their clients: the gateway stays ready
while one port is bound and one worker serves. The answer names what is amiss in both cases.

Whoever begins to drain sets :attr:`Readiness.draining`; from then on the gateway is not ready.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from meshgate.providers.feed import Feed
from meshgate.resources.wording import count_of
from meshgate.state.reporter import Reporter
from meshgate.transport.ports import Ports
from meshgate.workers.pool import WorkerPool


class Check(NamedTuple):
    """
    One of the conditions.

    :ivar name: one word.
    :ivar passed: True if the condition does not keep the gateway from being ready.
    :ivar missing: what is amiss, for people; may be said of a condition that has passed.
    """

    name: str
    passed: bool
    missing: str = ""

    def __str__(self) -> str:
        return f"[{'+' if self.passed else '-'}]{self.name} {self.missing or 'ok'}"


class Readiness:
    """
    The conditions of this gateway.

    :ivar draining: why the gateway takes no new clients, as a phrase for people; empty while it does. Set it to have
        the gateway no longer ready.
    """

    def __init__(self, reporter: Reporter, feed: Feed, pool: WorkerPool, ports: Ports) -> None:
        self.draining = ""
        self._reporter = reporter
        self._feed = feed
        self._pool = pool
        self._ports = ports
        self._was_ready = False

    def checks(self) -> list[Check]:
        """The conditions, as they are now."""
        found = [self._configured(), self._bound(), self._workers(), self._not_draining()]
        if all(check.passed for check in found):
            self._was_ready = True
        return found

    def ready(self) -> bool:
        """True if all conditions are met."""
        return all(check.passed for check in self.checks())

    def _configured(self) -> Check:
        silent = [each for each in self._feed.providers() if each.published is None]
        reasons = (f"the provider {each.name} {each.reason or 'has published nothing yet'}" for each in silent)
        has_table = self._reporter.table.generation > 0
        missing = _listed(reasons) if has_table else "no routes were compiled yet"
        return Check("configured", has_table and (not silent or self._was_ready), missing)

    def _bound(self) -> Check:
        failures = list(self._ports.failures)
        passed = not failures or (self._was_ready and bool(self._ports.listening))
        return Check("bound", passed, _listed(map(self._reporter.failure_text, failures)))

    def _workers(self) -> Check:
        pool = self._pool
        serving, wanted = pool.serving, pool.sockets
        if pool.live_generation and serving == wanted:
            return Check("workers", True)
        passed = self._was_ready and serving > 0
        return Check("workers", passed, f"{serving} of {count_of(wanted, 'worker')} serve")

    def _not_draining(self) -> Check:
        return Check("draining", not self.draining, self.draining)


def _listed(reasons: Iterable[str]) -> str:
    return "; ".join(reasons)
