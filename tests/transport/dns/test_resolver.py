"""Tests of meshgate.transport.dns.resolver: what is kept, for how long, and who is told."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.dns.address_lookup import Answer, LookupFailedError
from meshgate.transport.dns.resolver import (
    LONGEST_TTL,
    MAX_UNDER_WAY,
    MAX_UNWATCHED,
    PATIENCE,
    SHORTEST_TTL,
    NameFigures,
    Resolver,
)

NOTHING = Answer((), reason="nothing")
V4 = Answer(("192.0.2.1",), 60)
V6 = Answer(("2001:db8::1",), 60)


class _Names:
    """A lookup whose answers, failures and silence the test decides on."""

    def __init__(self) -> None:
        self.replies: dict[tuple[str, int], Answer | str | None] = {}
        self.asked: list[tuple[str, int]] = []
        self.open: dict[tuple[str, int], Deferred[Answer]] = {}

    def set(self, name: str, a: Answer | str | None, aaaa: Answer | str | None = NOTHING) -> None:
        """Set the answers from now on: a string is a failure's reason, None is silence."""
        self.replies[name, dns.A], self.replies[name, dns.AAAA] = a, aaaa

    def lookup(self, name: str, family: int) -> Deferred[Answer]:
        """Find the addresses of one family, for the resolver."""
        self.asked.append((name, family))
        reply = self.replies.get((name, family), NOTHING)
        if isinstance(reply, Answer):
            return succeed(reply)
        if isinstance(reply, str):
            return fail(LookupFailedError(reply))
        silence = self.open[name, family] = Deferred[Answer]()
        return silence

    def count(self, name: str) -> int:
        """Count the lookups of a name."""
        return self.asked.count((name, dns.A))


class ClockTestCase(SynchronousTestCase):
    """A resolver on a clock that the test turns."""

    def setUp(self) -> None:
        """Make a resolver with a lookup that answers at once."""
        self.clock = Clock()
        self.names = _Names()
        self.changes: list[tuple[str, ...] | None] = []
        self.resolver = Resolver(
            self.clock,
            on_change=lambda: self.changes.append(self.resolver.cached("a.example")),
            lookup=self.names.lookup,
            wall_clock=lambda: 1_700_000_000 + self.clock.seconds(),
        )

    def turn(self, seconds: float) -> None:
        """Let time go by in small steps, as the reactor would."""
        self.clock.pump([0.5] * int(seconds / 0.5))

    def resolved(self, name: str) -> tuple[str, ...]:
        """Resolve a name without waiting."""
        addresses: tuple[str, ...] = self.successResultOf(self.resolver.resolve(name))
        return addresses


class ResolveTests(ClockTestCase):
    """Single questions."""

    def test_both_families_are_answered(self) -> None:
        """IPv4 addresses come first."""
        self.names.set("a.example", V4, V6)
        self.assertEqual(self.resolved("a.example"), ("192.0.2.1", "2001:db8::1"))

    def test_nothing_is_known_before_the_first_answer(self) -> None:
        """A name never asked for, and one that never resolved, are unknown; others are known at once."""
        self.names.set("a.example", V4)
        self.assertIsNone(self.resolver.cached("a.example"))
        self.assertEqual(self.resolved("b.example"), ())
        self.assertIsNone(self.resolver.cached("b.example"))
        self.resolved("a.example")
        self.assertEqual(self.resolver.cached("a.example"), ("192.0.2.1",))

    def test_one_name_in_all_its_spellings(self) -> None:
        """Case and a trailing dot do not make another name."""
        self.names.set("a.example", V4)
        self.resolved("A.Example.")
        self.assertEqual(self.resolver.cached("a.EXAMPLE"), ("192.0.2.1",))
        self.assertEqual(self.names.count("a.example"), 1)

    def test_a_fresh_answer_is_not_asked_for_again(self) -> None:
        """Until its time to live ends, an answer costs no question; then it does."""
        self.names.set("a.example", V4)
        self.resolved("a.example")
        self.clock.advance(59.9)
        self.resolved("a.example")
        self.assertEqual(self.names.count("a.example"), 1)
        self.clock.advance(0.1)
        self.resolved("a.example")
        self.assertEqual(self.names.count("a.example"), 2)

    def test_the_shorter_time_to_live_counts(self) -> None:
        """An answer is as fresh as its family that ends first."""
        self.names.set("a.example", V4, Answer(("2001:db8::1",), 5))
        self.resolved("a.example")
        self.clock.advance(5)
        self.resolved("a.example")
        self.assertEqual(self.names.count("a.example"), 2)

    def test_a_failing_name_is_not_asked_for_at_each_connection(self) -> None:
        """Between two retries, whoever asks gets the last good answer without a question."""
        self.assertEqual(self.resolved("a.example"), ())
        self.assertEqual(self.resolved("a.example"), ())
        self.assertEqual(self.names.count("a.example"), 1)
        self.clock.advance(1)
        self.resolved("a.example")
        self.assertEqual(self.names.count("a.example"), 2)

    def test_all_askers_share_one_question(self) -> None:
        """While a question is under way, others wait for the same answer."""
        self.names.set("a.example", None)
        askers = [self.resolver.resolve("a.example") for _ in range(3)]
        self.assertEqual(self.names.asked, [("a.example", dns.A), ("a.example", dns.AAAA)])
        self.names.open["a.example", dns.A].callback(V4)
        for asker in askers:
            self.assertEqual(self.successResultOf(asker), ("192.0.2.1",))

    def test_one_asker_can_leave(self) -> None:
        """Cancelling one asker's Deferred does not take the answer from the others."""
        self.names.set("a.example", None)
        leaving, staying = self.resolver.resolve("a.example"), self.resolver.resolve("a.example")
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.names.open["a.example", dns.A].callback(V4)
        self.assertEqual(self.successResultOf(staying), ("192.0.2.1",))

    def test_one_failing_family_does_not_spoil_the_other(self) -> None:
        """Addresses of one family are an answer, whatever became of the other."""
        self.names.set("a.example", "no answer", V6)
        self.assertEqual(self.resolved("a.example"), ("2001:db8::1",))
        self.names.set("b.example", V4, "no answer")
        self.assertEqual(self.resolved("b.example"), ("192.0.2.1",))

    def test_a_silent_family_is_not_waited_for(self) -> None:
        """Once there are addresses, the other family's question may take a second more."""
        self.names.set("a.example", V4, None)
        asker = self.resolver.resolve("a.example")
        self.clock.advance(PATIENCE - 0.01)
        self.assertNoResult(asker)
        self.clock.advance(0.01)
        self.assertEqual(self.successResultOf(asker), ("192.0.2.1",))

    def test_a_family_that_fails_later_keeps_its_addresses(self) -> None:
        """Last good answers are kept by family; half an answer is asked for again soon."""
        self.names.set("a.example", V4, V6)
        self.resolved("a.example")
        self.names.set("a.example", Answer(("192.0.2.2",), 60), "no answer")
        self.clock.advance(60)
        self.assertEqual(self.resolved("a.example"), ("192.0.2.2", "2001:db8::1"))
        self.names.set("a.example", Answer(("192.0.2.2",), 60), NOTHING)
        self.clock.advance(1)
        self.assertEqual(self.resolved("a.example"), ("192.0.2.2",))

    def test_the_last_good_answer_is_kept(self) -> None:
        """Failures, and names that are gone or empty, leave the addresses as they were, however long."""
        self.names.set("a.example", V4, V6)
        self.resolved("a.example")
        for a, aaaa in (("no answer", "no answer"), (NOTHING, NOTHING), ("no answer", NOTHING)):
            self.names.set("a.example", a, aaaa)
            self.clock.advance(100_000)
            self.assertEqual(self.resolved("a.example"), ("192.0.2.1", "2001:db8::1"))

    def test_unwatched_names_are_bounded(self) -> None:
        """Only so many names are remembered; those not asked for the longest go first."""
        for n in range(MAX_UNWATCHED):
            self.names.set(f"n{n}.example", V4)
            self.resolved(f"n{n}.example")
        self.resolved("n0.example")
        self.resolved("one.more.example")
        self.assertEqual(self.resolver.cached("n0.example"), ("192.0.2.1",))
        self.assertIsNone(self.resolver.cached("n1.example"))

    def test_a_defect_is_logged_and_answered(self) -> None:
        """An exception that no lookup should raise is logged, and the asker is not left waiting."""
        self.resolver = Resolver(self.clock, lookup=lambda *_: fail(ZeroDivisionError("defect")))
        self.assertEqual(self.resolved("a.example"), ())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class WatchTests(ClockTestCase):
    """Names kept fresh."""

    def test_new_names_are_resolved_at_once(self) -> None:
        """A watched name is known without anybody asking for it."""
        self.names.set("a.example", V4)
        self.resolver.watch(["a.example"])
        self.assertEqual(self.resolver.cached("a.example"), ("192.0.2.1",))
        self.assertEqual(self.changes, [("192.0.2.1",)])

    def test_the_time_to_live_is_honored(self) -> None:
        """A watched name is asked for again when its time to live ends, not before."""
        self.names.set("a.example", V4)
        self.resolver.watch(["a.example"])
        self.names.set("a.example", Answer(("192.0.2.2",), 60))
        self.turn(59.5)
        self.assertEqual(self.resolver.cached("a.example"), ("192.0.2.1",))
        self.turn(0.5)
        self.assertEqual(self.resolver.cached("a.example"), ("192.0.2.2",))
        self.turn(600)
        self.assertEqual(self.names.count("a.example"), 12)

    def test_the_time_to_live_is_bounded(self) -> None:
        """A time to live of 0 counts as a second, one of a year as an hour."""
        self.names.set("short.example", Answer(("192.0.2.1",), 0))
        self.names.set("long.example", Answer(("192.0.2.1",), 31_536_000))
        self.resolver.watch(["short.example", "long.example"])
        self.turn(10 * SHORTEST_TTL)
        self.assertEqual(self.names.count("short.example"), 11)
        self.turn(LONGEST_TTL - 10 * SHORTEST_TTL)
        self.assertEqual(self.names.count("long.example"), 2)

    def test_failures_are_retried_with_back_off(self) -> None:
        """A failing name is tried again after 1, 2, 4, 8, 16 and then every 30 seconds, until it answers."""
        self.names.set("a.example", "no answer", "no answer")
        self.resolver.watch(["a.example"])
        times: list[int] = []
        for second in range(100):
            self.clock.advance(1)
            if self.names.count("a.example") > len(times) + 1:
                times.append(second + 1)
        self.assertEqual(times, [1, 3, 7, 15, 31, 61, 91])
        self.names.set("a.example", V4)
        self.turn(21)
        self.assertEqual(self.resolver.cached("a.example"), ("192.0.2.1",))
        self.names.set("a.example", "no answer", "no answer")
        self.turn(60)
        before = self.names.count("a.example")
        self.turn(1)
        self.assertEqual(self.names.count("a.example"), before + 1)

    def test_names_no_longer_watched_are_forgotten(self) -> None:
        """A name that is not in the new set is neither known nor asked for any more; the others stay."""
        self.names.set("a.example", V4)
        self.names.set("b.example", V4)
        self.resolver.watch(["a.example", "b.example"])
        self.resolver.watch(["b.example", "c.example"])
        self.turn(120)
        self.assertIsNone(self.resolver.cached("a.example"))
        self.assertEqual(self.names.count("a.example"), 1)
        self.assertEqual(self.names.count("b.example"), 3)
        self.resolver.watch([])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_watching_the_same_names_asks_nothing(self) -> None:
        """A new table with the same names costs no questions."""
        self.names.set("a.example", V4)
        self.resolver.watch(["a.example"])
        self.resolver.watch(["A.example."])
        self.assertEqual(self.names.count("a.example"), 1)

    def test_a_name_asked_for_before_is_taken_over(self) -> None:
        """A name keeps its answer when it becomes watched, and is looked up again in its time."""
        self.names.set("a.example", V4)
        self.resolved("a.example")
        self.turn(20)
        self.resolver.watch(["a.example"])
        self.assertEqual(self.names.count("a.example"), 1)
        self.turn(40)
        self.assertEqual(self.names.count("a.example"), 2)

    def test_asking_at_the_last_moment_leaves_one_timer(self) -> None:
        """Resolving a watched name in the moment when its time ends does not double its lookups."""
        self.names.set("a.example", V4)
        self.resolver.watch(["a.example"])
        self.clock.rightNow += 60
        self.resolved("a.example")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_news(self) -> None:
        """The names looked up since the last call, answered or not; None for names not watched any more."""
        start = 1_700_000_000.0
        self.names.set("a.example", Answer(("192.0.2.1",), 10))
        self.names.set("b.example", None)
        self.resolver.watch(["a.example", "b.example"])
        expected = {"a.example": NameFigures(("192.0.2.1",), start), "b.example": NameFigures()}
        self.assertEqual((self.resolver.news(), self.resolver.news()), (expected, {}))
        self.names.set("a.example", "nobody answers")
        self.turn(12)
        expected = {"a.example": NameFigures(("192.0.2.1",), start, start + 10, "nobody answers; nothing")}
        self.assertEqual(self.resolver.news(), expected)
        self.resolver.watch(["b.example"])
        self.assertEqual(self.resolver.news(), {"a.example": None})

    def test_only_changes_are_told(self) -> None:
        """The same addresses again, in whatever order, are no change; another set is."""
        self.names.set("a.example", Answer(("192.0.2.1", "192.0.2.2"), 10))
        self.resolver.watch(["a.example"])
        self.names.set("a.example", Answer(("192.0.2.2", "192.0.2.1"), 10))
        self.turn(10)
        self.assertEqual(self.resolver.cached("a.example"), ("192.0.2.2", "192.0.2.1"))
        self.names.set("a.example", Answer(("192.0.2.3",), 10))
        self.turn(10)
        self.assertEqual(self.changes, [("192.0.2.1", "192.0.2.2"), ("192.0.2.3",)])

    def test_who_is_told_may_fail(self) -> None:
        """An exception of the callback is logged, and the name goes on being watched."""
        self.names.set("a.example", V4)
        self.resolver = Resolver(self.clock, on_change=lambda: 1 / 0, lookup=self.names.lookup)
        self.resolver.watch(["a.example"])
        self.turn(60)
        self.assertEqual(self.names.count("a.example"), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class QueueTests(ClockTestCase):
    """More names than may be asked for at once."""

    def setUp(self) -> None:
        """Watch three times as many names as may be under way, at a lookup that is silent."""
        super().setUp()
        self.watched = [f"n{n}.example" for n in range(3 * MAX_UNDER_WAY)]
        for name in (*self.watched, "a.example"):
            self.names.set(name, None)
        self.resolver.watch(self.watched)

    def test_names_wait_for_their_turn(self) -> None:
        """A large table does not open a socket for each of its names; as many as end are begun."""
        self.assertEqual(len(self.names.open), MAX_UNDER_WAY)
        while self.names.open:
            self.assertLessEqual(len(self.names.open), MAX_UNDER_WAY)
            self.names.open.pop(next(iter(self.names.open))).callback(V4)
            self.clock.advance(0)
        self.assertEqual({self.resolver.cached(name) for name in self.watched}, {("192.0.2.1",)})

    def test_who_waits_comes_first(self) -> None:
        """A name that a connection waits for is asked for before those that are only watched."""
        self.resolver.resolve("a.example")
        self.assertEqual(self.names.count("a.example"), 0)
        self.names.open[self.names.asked[0]].callback(V4)
        self.clock.advance(0)
        self.assertEqual(self.names.asked[-2], ("a.example", dns.A))

    def test_names_forgotten_meanwhile_are_not_asked_for(self) -> None:
        """A new table with other names does not wait until all of the old ones have been asked for."""
        self.resolver.watch(["a.example"])
        self.names.open[self.names.asked[0]].callback(V4)
        self.clock.advance(0)
        self.assertEqual(self.names.asked[-2], ("a.example", dns.A))

    def test_a_name_that_nobody_waits_for_any_more_is_not_asked_for(self) -> None:
        """An unwatched name is not looked up if nobody waits for it any more when its turn comes."""
        self.resolver.resolve("a.example").addErrback(lambda _: None).cancel()
        self.names.open[self.names.asked[0]].callback(V4)
        self.clock.advance(0)
        self.assertEqual(self.names.count("a.example"), 0)

    def test_stopping_ends_the_wait(self) -> None:
        """Waiting for a name whose turn has not come ends with no addresses."""
        asker = self.resolver.resolve("a.example")
        self.successResultOf(self.resolver.stop())
        self.assertEqual(self.successResultOf(asker), ())
        self.assertEqual(self.names.count("a.example"), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answers_at_hand_do_not_hold_up_the_reactor(self) -> None:
        """Names that need no question are taken in turns as well, and none is left out."""
        self.resolver.stop()
        names = [f"{n}.localhost" for n in range(3 * MAX_UNDER_WAY)]
        self.resolver = Resolver(self.clock, lookup=lambda name, family: succeed(V4 if family == dns.A else NOTHING))
        self.resolver.watch(names)
        self.assertEqual(sum(self.resolver.cached(name) is not None for name in names), MAX_UNDER_WAY)
        self.clock.advance(0)
        self.assertEqual({self.resolver.cached(name) for name in names}, {("192.0.2.1",)})


class ProblemTests(ClockTestCase):
    """Names that cannot be resolved."""

    def test_a_name_that_never_resolved_is_a_problem(self) -> None:
        """The problem says which name, why, and since when, and stays the same while it lasts."""
        self.names.set("a.example", "it rains", "it rains")
        self.resolver.watch(["a.example"])
        [problem] = self.resolver.problems()
        self.assertEqual(
            str(problem),
            "warning[MG3101]: the name a.example cannot be resolved since 2023-11-14T22:13:20Z: it rains (nothing can "
            "be dialed there until it resolves; is the name right, and a full one?)",
        )
        self.turn(60)
        self.assertEqual(self.resolver.problems(), (problem,))

    def test_the_addresses_still_in_use_are_named(self) -> None:
        """A name that resolved before says so in the hint."""
        self.names.set("a.example", V4)
        self.resolver.watch(["a.example"])
        self.assertEqual(self.resolver.problems(), ())
        self.names.set("a.example", NOTHING)
        self.turn(60)
        [problem] = self.resolver.problems()
        self.assertIn("192.0.2.1", problem.hint)
        self.assertIn("22:14:20Z", problem.message)

    def test_half_an_answer_is_no_problem(self) -> None:
        """A name with addresses of one family resolves."""
        self.names.set("a.example", V4, "no answer")
        self.resolver.watch(["a.example"])
        self.assertEqual(self.resolver.problems(), ())

    def test_a_problem_ends(self) -> None:
        """A name that resolves again is no problem; both turns are told, once."""
        self.names.set("a.example", "it rains", "it pours")
        self.resolver.watch(["a.example"])
        self.turn(20)
        self.assertIn("it rains; it pours", self.resolver.problems()[0].message)
        self.names.set("a.example", V4)
        self.turn(20)
        self.assertEqual(self.resolver.problems(), ())
        self.assertEqual(self.changes, [None, ("192.0.2.1",)])

    def test_only_watched_names_are_problems(self) -> None:
        """A name that nobody needs any more is nobody's problem."""
        self.resolved("a.example")
        self.resolver.watch(["b.example"])
        self.resolver.watch([])
        self.assertEqual(self.resolver.problems(), ())


class StopTests(ClockTestCase):
    """The end."""

    def test_nothing_is_left_behind(self) -> None:
        """Timers and questions are gone, and whoever waits gets the last good answer."""
        self.names.set("a.example", V4)
        self.names.set("b.example", None, None)
        self.names.set("c.example", V4, None)
        self.resolver.watch(["a.example", "b.example"])
        askers = [self.resolver.resolve("b.example"), self.resolver.resolve("c.example")]
        self.successResultOf(self.resolver.stop())
        self.assertEqual([self.successResultOf(asker) for asker in askers], [(), ()])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_asked_afterwards(self) -> None:
        """The cache still answers; new names are not looked up."""
        self.names.set("a.example", V4)
        self.resolver.watch(["a.example"])
        self.resolver.stop()
        self.resolver.watch(["a.example", "b.example"])
        self.clock.advance(1000)
        self.assertEqual(self.resolved("a.example"), ("192.0.2.1",))
        self.assertEqual(self.resolved("c.example"), ())
        self.assertEqual(self.names.asked, [("a.example", dns.A), ("a.example", dns.AAAA)])
