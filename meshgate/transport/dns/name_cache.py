"""The name cache's entries: the last good answer of a name, its time to live and its back-off; decisions only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.transport.dns.address_lookup import FAMILIES, Answer

SHORTEST_TTL: Final = 1.0
LONGEST_TTL: Final = 3600.0
"""Bounds in seconds of an answer's time to live: 0 must not cause a lookup per connection, and a week that was given by
mistake must not outlast its correction by more than an hour."""

FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 30.0
"""Seconds after which a name without an answer is looked up again: the first time, and at most; doubled in between."""

Outcome = Answer | str
"""The outcome of one family's lookup: an answer, which may be empty, or the reason why there is none."""


@dataclass(frozen=True, slots=True)
class NameFigures:
    """
    A name as the status shows it. Times are seconds since the epoch.

    :ivar addresses: the last good answer; empty if there never was one.
    :ivar answered: the time of that answer; None if there never was one.
    :ivar failing_since: the time since which the name does not resolve; None while it does.
    :ivar reason: why it does not resolve, or empty.
    """

    addresses: tuple[str, ...] = ()
    answered: float | None = None
    failing_since: float | None = None
    reason: str = ""


@dataclass(slots=True, eq=False)
class NameEntry:
    """
    One name's entry in the cache.

    :ivar name: lower case, without a trailing dot.
    :ivar watched: True if the name is kept fresh.
    :ivar families: the last good addresses of each family.
    :ivar addresses: the last good addresses of both families, or None before the first good answer.
    :ivar answered: the time of the last good answer, in seconds since the epoch; None before the first.
    :ivar fresh_until: the time until which the answer is fresh, in the reactor's seconds.
    :ivar failures: number of lookups in a row without answers for both families.
    :ivar reason: why the name cannot be resolved now, or empty.
    :ivar failing_since: the time since which it cannot, in seconds since the epoch.
    :ivar asking: True if a lookup is under way or waits for its turn.
    :ivar waiters: the Deferreds that wait for the answer.
    :ivar timer: the call of the next lookup, if the name is watched.
    """

    name: str
    watched: bool = False
    families: dict[int, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(FAMILIES, ()))
    addresses: tuple[str, ...] | None = None
    answered: float | None = None
    fresh_until: float = float("-inf")
    failures: int = 0
    reason: str = ""
    failing_since: float = 0.0
    asking: bool = False
    waiters: list[Deferred[tuple[str, ...]]] = field(default_factory=list)
    timer: IDelayedCall | None = None

    def keep(self, outcomes: Sequence[Outcome], now: float) -> float:
        """
        Keep the outcomes of both lookups. Addresses of a family without an answer stay as they were.

        :param outcomes: one for each of :data:`~meshgate.transport.dns.address_lookup.FAMILIES`.
        :param now: seconds since the epoch.
        :return: the seconds until the next lookup.
        """
        answers = {f: o for f, o in zip(FAMILIES, outcomes, strict=True) if isinstance(o, Answer)}
        good = [answer for answer in answers.values() if answer.addresses]
        complete = bool(good) and len(answers) == len(FAMILIES)
        self.failures = 0 if complete else self.failures + 1
        if not good:
            if not self.reason:
                self.failing_since = now
            self.reason = "; ".join(dict.fromkeys(o if isinstance(o, str) else o.reason for o in outcomes))
            return self._back_off()
        self.families.update((family, answer.addresses) for family, answer in answers.items())
        self.addresses = sum(self.families.values(), ())
        self.answered = now
        self.reason = ""
        ttl = min(max(SHORTEST_TTL, min(answer.ttl for answer in good)), LONGEST_TTL)
        return ttl if complete else min(ttl, self._back_off())

    def _back_off(self) -> float:
        doublings = min(self.failures - 1, 16)
        return float(min(LAST_RETRY, FIRST_RETRY * 2**doublings))

    def state(self) -> tuple[frozenset[str], bool]:
        """Return what counts as a change: the set of addresses, and True if the name fails."""
        return frozenset(self.addresses or ()), bool(self.reason)

    def figures(self) -> NameFigures:
        """Return the entry as the status shows it."""
        failing = self.failing_since if self.reason else None
        return NameFigures(self.addresses or (), self.answered, failing, self.reason)

    def problem(self) -> Problem:
        """Return the problem of a failing name; it is the same as long as the reason is."""
        since = datetime.fromtimestamp(self.failing_since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if self.addresses:
            hint = f"its last good answer stays in use: {', '.join(self.addresses)}"
        else:
            hint = "nothing can be dialed there until it resolves; is the name right, and a full one?"
        return Problem(
            severity=Severity.WARNING,
            code="MG3101",
            message=f"the name {self.name} cannot be resolved since {since}: {self.reason}",
            phase=Phase.ANALYSIS,
            hint=hint,
        )

    def answer_waiters(self) -> None:
        """Give the addresses to all who wait."""
        self.asking = False
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.callback(self.addresses or ())

    def cancel_timer(self) -> None:
        """Cancel the next lookup."""
        timer, self.timer = self.timer, None
        if timer is not None and timer.active():
            timer.cancel()
