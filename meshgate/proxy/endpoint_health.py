"""
The health of a cluster's endpoints: what dials have found out, those of other workers among them.

The problem: a dead endpoint must cost few clients anything, however many workers there are, and be used again soon
after it is back.

The approach: an endpoint whose last dial failed is marked (:mod:`meshgate.routing.backoff`), and tried last. When its
back-off is over, one connection tries it first, as its probe; the mark is gone once a dial succeeds. If the policy asks
for outlier detection, the same outcomes are counted by its rules, and the endpoints that they eject are not tried.

The invariants: marks and ejections are shared by all workers, and read again when their first word has changed.
Whatever changes the order of the endpoints drops the balancer; the next connection makes a new one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import ClassVar

from twisted.logger import Logger

from meshgate.routing.backoff import Backoffs, endpoint_key
from meshgate.routing.balance import Balancer
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.failing_endpoints import EJECTED, TRIED_LAST, Ejections, LeftOut
from meshgate.routing.table import Endpoint


class EndpointHealth:
    """
    The half of a :class:`~meshgate.proxy.clusters.Cluster` that judges its endpoints.

    :param name: the destination as text.
    :param backoffs: the marks that all workers share.
    :param failing: the clusters with marked endpoints; the cluster adds itself.
    :ivar ejected: number of ejections so far.
    """

    __slots__ = (
        "_backoffs",
        "_balancer",
        "_ejections",
        "_failing",
        "_loads",
        "_marks_seen",
        "_next_probe",
        "_serving",
        "_use_marks",
        "_words",
        "ejected",
        "name",
    )

    _log: ClassVar = Logger()

    def __init__(self, name: str, backoffs: Backoffs, failing: set[EndpointHealth]) -> None:
        self.name = name
        self._loads: dict[Endpoint, EndpointLoad] = {}
        self._serving: Sequence[EndpointLoad] = ()
        self._balancer: Balancer | None = None
        self._ejections: Ejections | None = None
        self.ejected = 0
        self._backoffs = backoffs
        self._words = backoffs.words
        # The first word of the marks, as it was when they were read.
        self._marks_seen = 0
        self._use_marks = True
        self._next_probe = math.inf
        self._failing = failing

    @property
    def loads(self) -> Sequence[EndpointLoad]:
        """Endpoints used so far, with their counts."""
        return tuple(self._loads.values())

    def succeeded(self, load: EndpointLoad, now: float) -> None:
        """Note that a dial has succeeded."""
        if self._ejections is not None:
            self._ejections.succeeded(load)
        if load.marked:
            self._set_marked(load, False)
            if self._backoffs.succeeded(self._key(load), now):
                self._log.info(
                    "{endpoint} of {destination} answers again", endpoint=load.endpoint, destination=self.name
                )

    def failed(self, load: EndpointLoad, started: float, now: float, rng: random.Random, reason: str) -> bool:
        """
        Note that a dial has failed.

        :param started: the clock's seconds when the dial began.
        :param reason: the failure in a word, for the log.
        :return: True if the endpoint was not marked before.
        """
        if self._ejections is not None and self._loads.get(load.endpoint) is load:
            if self._ejections.look(now):
                self._balancer = None
            until = self._ejections.failed(load, len(self._loads), now)
            if until is not None:
                self._balancer = None
                self.ejected += 1
                self._log.warn(
                    "{endpoint} of {destination} cannot be reached ({reason}), and is left out for {seconds:.0f} s",
                    endpoint=load.endpoint,
                    destination=self.name,
                    seconds=until - now,
                    reason=reason,
                )
        return self.mark(load, started, now, rng, reason)

    def mark(self, load: EndpointLoad, started: float, now: float, rng: random.Random, reason: str) -> bool:
        """
        Mark an endpoint, so that it is tried last until a probe connects. Outlier detection does not count this.

        :return: True if the endpoint was not marked before.
        """
        if not self._use_marks:
            return False
        new, log = self._backoffs.failed(self._key(load), started, now, rng)
        self._set_marked(load, True)
        self._failing.add(self)
        if log:
            self._log.warn(
                "{endpoint} of {destination} fails ({reason}): it is tried last until it answers again",
                endpoint=load.endpoint,
                destination=self.name,
                reason=reason,
            )
        return new

    def dial_abandoned(self, load: EndpointLoad) -> None:
        """Note that a dial was given up before it had an outcome."""
        if load.marked:
            self._backoffs.release(self._key(load))

    def forget_ejections(self) -> None:
        """Have no endpoint ejected any more: others may count from now on, or nobody."""
        if self._ejections is not None:
            self._ejections.forget()
            self._ejections = None
        self._balancer = None

    def left_out(self, now: float) -> list[LeftOut]:
        """Return the endpoints that are ejected, or tried last."""
        ejections = self._ejections
        found = [] if ejections is None else [(load, until) for load, until in ejections.ejected() if until > now]
        ejected = {load for load, _ in found}
        due = [(load, self._backoffs.due_at(self._key(load))) for load in self.loads if load not in ejected]
        return [
            *(LeftOut(self.name, load.name, EJECTED, until) for load, until in found),
            *(LeftOut(self.name, load.name, TRIED_LAST, until) for load, until in due if until > 0),
        ]

    def _key(self, load: EndpointLoad) -> int:
        if not load.key:
            load.key = endpoint_key(load.name)
        return load.key

    def _read_marks(self) -> None:
        """Read the marks; if they have changed, the next connection makes a new balancer."""
        self._marks_seen = seen = int(self._words[0])
        self._next_probe = math.inf
        for load in self._serving:
            due_at = self._backoffs.due_at(self._key(load)) if seen and self._use_marks else 0.0
            if due_at:
                self._next_probe = min(self._next_probe, due_at)
            self._set_marked(load, due_at > 0)

    def _set_marked(self, load: EndpointLoad, marked: bool) -> None:
        if load.marked is not marked:
            load.marked = marked
            self._balancer = None

    def _claim_probe(self, due: Iterable[EndpointLoad], now: float, lease: float) -> EndpointLoad | None:
        """Claim a marked endpoint whose back-off is over as the probe of this connection."""
        probe, asked = None, False
        for load in due:
            if load.marked:
                asked = True
                if self._backoffs.claim(self._key(load), now, lease):
                    probe = load
                    break
        if asked:
            self._read_marks()  # for the time when the next back-off is over
        return probe
