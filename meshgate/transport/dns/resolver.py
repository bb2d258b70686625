"""
The resolver: addresses of names, kept fresh in the background.

The problem: a connection must not wait for a name server, and endpoints must not vanish because a name server does.

The approach: the names of the routing table are watched. Each has an entry
(:class:`NameEntry`) with the last good answer, and is looked up again (:mod:`meshgate.transport.dns.address_lookup`)
when its time to live ends. Names that are only resolved now and then get an entry too, the least recently used of which
are dropped.

The invariants:

- A name that fails, does not exist, or has no address any more keeps its last good answer, however old.
- At most :data:`MAX_UNDER_WAY` names are looked up at once; names that somebody waits for come first.
- A name is looked up once at a time, however many wait for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.transport.dns.address_lookup import FAMILIES, AddressLookup, Answer, LookupFailedError
from meshgate.transport.dns.question import Server

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


PATIENCE: Final = 1.0
"""Seconds that the lookup of one family may still take once the other has given addresses: some servers never answer
AAAA."""

MAX_UNDER_WAY: Final = 32
"""Names that are looked up at once, each with a socket or two; more wait for their turn."""

MAX_UNWATCHED: Final = 1024
"""Entries of names that are not watched; the least recently used ones are dropped."""

_log = Logger()

Lookup = Callable[[str, int], Deferred[Answer]]


class Resolver:
    """
    Answers from its cache, and keeps watched names fresh in the background.

    A and AAAA records are both looked up; the IPv4 addresses come first. ``/etc/hosts`` comes before the name servers,
    as users expect; ``localhost`` needs neither. Names are full names: the search domains of ``resolv.conf`` are not
    applied.

    :param reactor: provides ``IReactorTime``, ``IReactorFDSet`` and ``IReactorTCP``.
    :param servers: IP address and port of each name server; none for those of ``/etc/resolv.conf``.
    :param timeout: seconds that a server is given for an answer. Each is asked twice before a lookup fails.
    :param on_change: called when a watched name gets another set of addresses, and when it becomes or ceases to be one
        of :meth:`problems`. Another order of the same addresses is no change.
    :param lookup: finds the addresses of one family; tests give their own.
    :param wall_clock: seconds since the epoch, for the times in problems.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[Server] = (),
        timeout: float = 2.0,
        *,
        on_change: Callable[[], object] | None = None,
        lookup: Lookup | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup or AddressLookup(reactor, servers, timeout).lookup
        self._on_change = on_change
        self._wall_clock = wall_clock
        self._watched: dict[str, NameEntry] = {}
        self._unwatched: dict[str, NameEntry] = {}
        self._queue: deque[NameEntry] = deque()
        self._next_turn: IDelayedCall | None = None
        self._questions: set[Deferred[list[Outcome]]] = set()
        self._stopped = False
        self._news: set[str] = set()

    def cached(self, name: str) -> tuple[str, ...] | None:
        """
        Return the last good answer, however old.

        :return: addresses as text, IPv4 first, in the order received; None if there never was an answer.
        """
        key = _key(name)
        entry = self._watched.get(key) or self._unwatched.get(key)
        return entry.addresses if entry else None

    def resolve(self, name: str) -> Deferred[tuple[str, ...]]:
        """
        Find the addresses of a name, looking it up only if its answer is not fresh. Between the retries of a failing
        name the last good answer counts as fresh, so that connections cause no lookups.

        :return: never fails: fires with the last good answer if there is no new one, and with no addresses if there
            never was one. Cancelling it does not affect others who wait for the name.
        """
        entry = self._entry(_key(name))
        if self._stopped or entry.fresh_until > self._reactor.seconds():
            return succeed(entry.addresses or ())
        waiter: Deferred[tuple[str, ...]] = Deferred(entry.waiters.remove)
        entry.waiters.append(waiter)
        self._enqueue(entry)
        self._ask_next()
        return waiter

    def watch(self, names: Iterable[str]) -> None:
        """
        Keep exactly these names fresh from now on, and forget all other names that were watched before. A name is
        looked up again when its time to live ends, after a failure in 1 to 30 seconds.
        """
        wanted = dict.fromkeys(map(_key, names))
        for gone in self._watched.keys() - wanted.keys():
            entry = self._watched.pop(gone)
            entry.watched = False
            entry.cancel_timer()
            self._news.add(gone)
        for name in wanted:
            if name not in self._watched:
                self._watch(self._unwatched.pop(name) if name in self._unwatched else NameEntry(name))
        self._ask_next()

    def problems(self) -> tuple[Problem, ...]:
        """Return a problem for each watched name that cannot be resolved now, with the reason and since when."""
        return tuple(entry.problem() for _, entry in sorted(self._watched.items()) if entry.reason)

    def news(self) -> dict[str, NameFigures | None]:
        """Return the watched names that were looked up since the last call; None for those not watched any more."""
        names, self._news = self._news, set()
        return {name: self._watched[name].figures() if name in self._watched else None for name in names}

    def stop(self) -> Deferred[None]:
        """
        Cancel every lookup and timer. The cache still answers.

        :return: fires when the last socket is closed.
        """
        self._stopped = True
        for entry in self._watched.values():
            entry.cancel_timer()
        if self._next_turn is not None and self._next_turn.active():
            self._next_turn.cancel()
        while self._queue:
            self._queue.popleft().answer_waiters()
        questions = tuple(self._questions)
        ended = DeferredList(questions)
        for question in questions:
            question.cancel()
        return ended.addCallback(lambda _: None)

    def _entry(self, key: str) -> NameEntry:
        watched = self._watched.get(key)
        if watched:
            return watched
        entry = self._unwatched.pop(key) if key in self._unwatched else NameEntry(key)
        self._unwatched[key] = entry
        if len(self._unwatched) > MAX_UNWATCHED:
            del self._unwatched[next(iter(self._unwatched))]
        return entry

    def _watch(self, entry: NameEntry) -> None:
        entry.watched = True
        self._watched[entry.name] = entry
        self._news.add(entry.name)
        wait = entry.fresh_until - self._reactor.seconds()
        if wait > 0:
            self._refresh_in(entry, wait)
        else:
            self._enqueue(entry)

    def _refresh_in(self, entry: NameEntry, seconds: float) -> None:
        if not self._stopped:
            entry.timer = self._reactor.callLater(seconds, self._refresh, entry)

    def _refresh(self, entry: NameEntry) -> None:
        self._enqueue(entry)
        self._ask_next()

    def _enqueue(self, entry: NameEntry) -> None:
        """Have a name looked up when its turn comes, before all others if somebody waits for it."""
        if entry.asking or self._stopped:
            return
        entry.cancel_timer()
        entry.asking = True
        if entry.waiters:
            self._queue.appendleft(entry)
        else:
            self._queue.append(entry)

    def _ask_next(self) -> None:
        """Look up as many names as may be under way; the rest follows in another turn of the reactor."""
        begun = 0
        while self._queue and max(begun, len(self._questions)) < MAX_UNDER_WAY:
            entry = self._queue.popleft()
            if entry.watched or entry.waiters:
                self._ask(entry)
                begun += 1
            else:
                entry.asking = False

    def _ask(self, entry: NameEntry) -> None:
        lookups = [self._lookup(entry.name, family).addErrback(_reason) for family in FAMILIES]
        for lookup, other in zip(lookups, reversed(lookups), strict=True):
            lookup.addCallback(self._hurry, other)
        both = gatherResults(lookups)
        self._questions.add(both)
        both.addCallback(self._answered, entry, both)

    def _hurry(self, outcome: Outcome, other: Deferred[Outcome]) -> Outcome:
        if isinstance(outcome, Answer) and outcome.addresses:
            other.addTimeout(PATIENCE, self._reactor)
        return outcome

    def _answered(self, outcomes: list[Outcome], entry: NameEntry, question: Deferred[list[Outcome]]) -> None:
        self._questions.discard(question)
        if not self._stopped:
            if self._queue and not (self._next_turn and self._next_turn.active()):
                self._next_turn = self._reactor.callLater(0, self._ask_next)
            before = entry.state()
            wait = entry.keep(outcomes, self._wall_clock())
            entry.fresh_until = self._reactor.seconds() + wait
            if entry.watched:
                self._news.add(entry.name)
                self._refresh_in(entry, wait)
                if entry.state() != before:
                    self._notify(entry)
        entry.answer_waiters()

    def _notify(self, entry: NameEntry) -> None:
        if self._on_change is not None:
            try:
                self._on_change()
            except Exception:
                _log.failure("what follows a change of the addresses of {name} failed", name=entry.name)


def _key(name: str) -> str:
    return name.lower().removesuffix(".")


def _reason(failure: Failure) -> str:
    if not isinstance(failure.value, LookupFailedError | CancelledError):
        _log.failure("a name could not be looked up", failure=failure)
    return str(failure.value)
