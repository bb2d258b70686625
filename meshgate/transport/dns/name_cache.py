"""
What is known of one name, and what an answer changes in it: decisions only.

Knows last good answers, time to live and back-off; must not ask anybody, nor decide whose turn it is.
"""

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
"""Seconds between which an answer's time to live is honored: 0 must not become a question per connection, and
a mistaken week must not outlast its correction by more than an hour."""

FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 30.0
"""Seconds after which a name without an answer is asked for again; doubled each time, up to the second."""

Outcome = Answer | str
"""What came of the question for one family: an answer, be it empty, or why there is none."""


@dataclass(frozen=True, slots=True)
class NameFigures:
    """
    A name as people are shown it. Times are seconds since the epoch.

    :ivar addresses: the last good answer; empty where there never was one.
    :ivar answered: when that came; None where there never was one.
    :ivar failing_since: None while the name resolves.
    :ivar reason: why it does not, or empty.
    """

    addresses: tuple[str, ...] = ()
    answered: float | None = None
    failing_since: float | None = None
    reason: str = ""


@dataclass(slots=True, eq=False)
class NameEntry:
    """
    What is known of one name.

    :ivar name: lower case, without a trailing dot.
    :ivar watched: it is to be kept fresh.
    :ivar families: the last good addresses of each family.
    :ivar addresses: all of them, or None before the first good answer.
    :ivar answered: when the last good answer came, in seconds since the epoch; None before the first.
    :ivar fresh_until: until when nothing new will be asked, in the reactor's seconds.
    :ivar failures: how many times in a row there was no, or only half an, answer.
    :ivar reason: why it cannot be resolved now, or empty.
    :ivar failing_since: since when, in seconds since the epoch.
    :ivar asking: its question is under way, or waits for its turn.
    :ivar waiters: who waits for the answer.
    :ivar timer: when it will be asked for again, if it is watched.
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
        Take in what came of both questions. Whatever is not answered stays as it was.

        :param outcomes: one for each of :data:`~meshgate.transport.dns.address_lookup.FAMILIES`.
        :param now: seconds since the epoch.
        :return: the seconds after which to ask again.
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
        """What others are told about when it changes: the set of addresses, and whether the name fails."""
        return frozenset(self.addresses or ()), bool(self.reason)

    def figures(self) -> NameFigures:
        """The same for people."""
        failing = self.failing_since if self.reason else None
        return NameFigures(self.addresses or (), self.answered, failing, self.reason)

    def problem(self) -> Problem:
        """A failing name as a problem. Stays the same as long as the reason does."""
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
        """Give all who wait what is known."""
        self.asking = False
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.callback(self.addresses or ())

    def cancel_timer(self) -> None:
        """Ask again at no time."""
        timer, self.timer = self.timer, None
        if timer is not None and timer.active():
            timer.cancel()
