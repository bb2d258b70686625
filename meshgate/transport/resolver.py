"""
Names and their addresses: what was answered last, kept fresh, and kept when nobody answers any more.

Knows time, who waits for a name, and which names are wanted; must not know how addresses are found out (that
is :mod:`meshgate.transport.address_lookup`) nor what they are for.
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
from meshgate.transport.address_lookup import FAMILIES, AddressLookup, Answer, LookupFailedError
from meshgate.transport.dns_question import Server

SHORTEST_TTL: Final = 1.0
LONGEST_TTL: Final = 3600.0
"""Seconds between which an answer's time to live is honored: 0 must not become a question per connection, and
a mistaken week must not outlast its correction by more than an hour."""

FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 30.0
"""Seconds after which a name without an answer is asked for again; doubled each time, up to the second."""

PATIENCE: Final = 1.0
"""Seconds that the question for one family may still take once the other has given addresses: some servers
never answer AAAA."""

MAX_UNDER_WAY: Final = 32
"""How many names are asked for at once, each with a socket or two; more wait for their turn."""

MAX_UNWATCHED: Final = 1024
"""How many names are remembered that were only asked for; those not asked for the longest are forgotten."""

_log = Logger()

Lookup = Callable[[str, int], Deferred[Answer]]
OnChange = Callable[[str, tuple[str, ...]], None]
Outcome = Answer | str
"""What came of the question for one family: an answer, be it empty, or why there is none."""


@dataclass(slots=True, eq=False)
class _Entry:
    """
    What is known of one name.

    :ivar families: the last good addresses of each family.
    :ivar addresses: all of them, or None before the first good answer.
    :ivar fresh_until: until when nothing new will be asked, in the reactor's seconds.
    :ivar failures: how many times in a row there was no, or only half an, answer.
    :ivar reason: why it cannot be resolved now, or empty.
    :ivar failing_since: since when, in seconds since the epoch.
    """

    name: str
    watched: bool = False
    families: dict[int, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(FAMILIES, ()))
    addresses: tuple[str, ...] | None = None
    fresh_until: float = float("-inf")
    failures: int = 0
    reason: str = ""
    failing_since: float = 0.0
    asking: bool = False
    waiters: list[Deferred[tuple[str, ...]]] = field(default_factory=list)
    timer: IDelayedCall | None = None

    def cancel_timer(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def settle(self) -> None:
        """Give all who wait what is known."""
        self.asking = False
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.callback(self.addresses or ())


class Resolver:
    """
    Answers at once what it knows, and keeps watched names fresh in the background.

    A and AAAA are both asked for; the IPv4 addresses come first. ``/etc/hosts`` comes before the name
    servers, since users expect it; ``localhost`` needs neither. Names are full names: the search domains of
    ``resolv.conf`` are not applied. A name that fails, does not exist, or has no address any more keeps its
    last good answer, however old.

    :param reactor: provides ``IReactorTime``, ``IReactorFDSet`` and ``IReactorTCP``.
    :param servers: IP address and port of each name server; none for those of ``/etc/resolv.conf``.
    :param timeout: seconds that a server is given for an answer. Each is asked twice before a question fails.
    :param on_change: called with a name and its last good addresses when another set of addresses is
        answered, and when the name becomes or ceases to be one of :meth:`problems`. Another order of the same
        addresses is no change.
    :param lookup: how the addresses of one family are found out, for tests.
    :param wall_clock: seconds since the epoch, for the times in problems.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[Server] = (),
        timeout: float = 2.0,
        *,
        on_change: OnChange | None = None,
        lookup: Lookup | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup or AddressLookup(reactor, servers, timeout).lookup
        self._on_change = on_change
        self._wall_clock = wall_clock
        self._watched: dict[str, _Entry] = {}
        self._unwatched: dict[str, _Entry] = {}
        self._queue: deque[_Entry] = deque()
        self._next_turn: IDelayedCall | None = None
        self._questions: set[Deferred[list[Outcome]]] = set()
        self._stopped = False

    def known(self, name: str) -> tuple[str, ...] | None:
        """
        The last good answer, however old.

        :return: addresses as text, IPv4 first, in the order received; None when there never was an answer.
        """
        key = _key(name)
        entry = self._watched.get(key) or self._unwatched.get(key)
        return entry.addresses if entry else None

    def resolve(self, name: str) -> Deferred[tuple[str, ...]]:
        """
        Find the addresses of a name, asking only if nothing fresh is known. Between the retries of a failing
        name the last good answer counts as fresh, so that connections do not become questions.

        :return: never fails: fires with the last good answer if no new one is to be had, with nothing if
            there never was one. Cancelling it cancels nobody else's.
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
        Keep exactly these names fresh from now on, and forget all that were watched before and are not among
        them. An answer is asked for again when its time to live ends, a failure after 1 to 30 seconds.
        """
        wanted = dict.fromkeys(map(_key, names))
        for gone in self._watched.keys() - wanted.keys():
            entry = self._watched.pop(gone)
            entry.watched = False
            entry.cancel_timer()
        for name in wanted:
            if name not in self._watched:
                self._watch(self._unwatched.pop(name) if name in self._unwatched else _Entry(name))
        self._ask_next()

    def problems(self) -> tuple[Problem, ...]:
        """The watched names that cannot be resolved now, each with the reason and since when."""
        return tuple(_problem(entry) for _, entry in sorted(self._watched.items()) if entry.reason)

    def stop(self) -> Deferred[None]:
        """
        Cancel every question and timer. What is known can still be asked for.

        :return: fires when the last socket is closed.
        """
        self._stopped = True
        for entry in self._watched.values():
            entry.cancel_timer()
        if self._next_turn is not None and self._next_turn.active():
            self._next_turn.cancel()
        while self._queue:
            self._queue.popleft().settle()
        questions = tuple(self._questions)
        ended = DeferredList(questions)
        for question in questions:
            question.cancel()
        return ended.addCallback(lambda _: None)

    def _entry(self, key: str) -> _Entry:
        watched = self._watched.get(key)
        if watched:
            return watched
        entry = self._unwatched.pop(key) if key in self._unwatched else _Entry(key)
        self._unwatched[key] = entry
        if len(self._unwatched) > MAX_UNWATCHED:
            del self._unwatched[next(iter(self._unwatched))]
        return entry

    def _watch(self, entry: _Entry) -> None:
        entry.watched = True
        self._watched[entry.name] = entry
        wait = entry.fresh_until - self._reactor.seconds()
        if wait > 0:
            self._refresh_in(entry, wait)
        else:
            self._enqueue(entry)

    def _refresh_in(self, entry: _Entry, seconds: float) -> None:
        if not self._stopped:
            entry.timer = self._reactor.callLater(seconds, self._refresh, entry)

    def _refresh(self, entry: _Entry) -> None:
        self._enqueue(entry)
        self._ask_next()

    def _enqueue(self, entry: _Entry) -> None:
        """Have a name asked for when its turn comes, before all others if somebody waits for it."""
        if entry.asking or self._stopped:
            return
        entry.cancel_timer()
        entry.asking = True
        if entry.waiters:
            self._queue.appendleft(entry)
        else:
            self._queue.append(entry)

    def _ask_next(self) -> None:
        """Ask for as many names as may be under way; the rest follows in another turn of the reactor."""
        begun = 0
        while self._queue and max(begun, len(self._questions)) < MAX_UNDER_WAY:
            entry = self._queue.popleft()
            if entry.watched or entry.waiters:
                self._ask(entry)
                begun += 1
            else:
                entry.asking = False

    def _ask(self, entry: _Entry) -> None:
        lookups = [self._lookup(entry.name, family).addErrback(_why) for family in FAMILIES]
        for lookup, other in zip(lookups, reversed(lookups), strict=True):
            lookup.addCallback(self._hurry, other)
        both = gatherResults(lookups)
        self._questions.add(both)
        both.addCallback(self._answered, entry, both)

    def _hurry(self, outcome: Outcome, other: Deferred[Outcome]) -> Outcome:
        if isinstance(outcome, Answer) and outcome.addresses:
            other.addTimeout(PATIENCE, self._reactor)
        return outcome

    def _answered(self, outcomes: list[Outcome], entry: _Entry, question: Deferred[list[Outcome]]) -> None:
        self._questions.discard(question)
        if not self._stopped:
            if self._queue and not (self._next_turn and self._next_turn.active()):
                self._next_turn = self._reactor.callLater(0, self._ask_next)
            before = _state(entry)
            wait = self._keep(entry, outcomes)
            entry.fresh_until = self._reactor.seconds() + wait
            if entry.watched:
                self._refresh_in(entry, wait)
                if _state(entry) != before:
                    self._tell(entry, was_failing=before[1])
        entry.settle()

    def _keep(self, entry: _Entry, outcomes: list[Outcome]) -> float:
        """
        Put what was answered into the entry.

        :return: the seconds after which to ask again.
        """
        answers = {f: o for f, o in zip(FAMILIES, outcomes, strict=True) if isinstance(o, Answer)}
        good = [answer for answer in answers.values() if answer.addresses]
        complete = bool(good) and len(answers) == len(FAMILIES)
        entry.failures = 0 if complete else entry.failures + 1
        retry = float(min(LAST_RETRY, FIRST_RETRY * 2 ** min(entry.failures - 1, 16)))
        if not good:
            if not entry.reason:
                entry.failing_since = self._wall_clock()
            entry.reason = "; ".join(dict.fromkeys(o if isinstance(o, str) else o.reason for o in outcomes))
            return retry
        entry.families.update((family, answer.addresses) for family, answer in answers.items())
        entry.addresses = sum(entry.families.values(), ())
        entry.reason = ""
        ttl = min(max(SHORTEST_TTL, min(answer.ttl for answer in good)), LONGEST_TTL)
        return ttl if complete else min(ttl, retry)

    def _tell(self, entry: _Entry, was_failing: bool) -> None:
        if entry.reason and not was_failing:
            _log.warn("{problem}", problem=_problem(entry))
        elif was_failing and not entry.reason:
            _log.info("the name {name} can be resolved again", name=entry.name)
        if self._on_change is not None:
            try:
                self._on_change(entry.name, entry.addresses or ())
            except Exception:
                _log.failure("what follows a change of the addresses of {name} failed", name=entry.name)


def _key(name: str) -> str:
    return name.lower().removesuffix(".")


def _state(entry: _Entry) -> tuple[frozenset[str], bool]:
    """What others are told about when it changes: the set of addresses, and whether the name fails."""
    return frozenset(entry.addresses or ()), bool(entry.reason)


def _why(failure: Failure) -> str:
    if not isinstance(failure.value, LookupFailedError | CancelledError):
        _log.failure("a name could not be looked up", failure=failure)
    return str(failure.value)


def _problem(entry: _Entry) -> Problem:
    since = datetime.fromtimestamp(entry.failing_since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if entry.addresses:
        hint = f"its last good answer stays in use: {', '.join(entry.addresses)}"
    else:
        hint = "nothing can be dialed there until it resolves; is the name right, and a full one?"
    return Problem(
        severity=Severity.WARNING,
        code="MG3101",
        message=f"the name {entry.name} cannot be resolved since {since}: {entry.reason}",
        phase=Phase.ANALYSIS,
        hint=hint,
    )
