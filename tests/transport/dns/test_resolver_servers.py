"""Tests of meshgate.transport.dns.resolver with a real name server, real sockets and the real reactor."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from meshgate.transport.dns.resolver import Resolver
from tests.dns_server import DnsServer, Fault, open_questions
from tests.support import reactor, wait_for


class RealServerTests(TestCase):
    """The resolver with a real name server and the real reactor."""

    def setUp(self) -> None:
        """Start a name server and a resolver."""
        self.server = DnsServer(reactor)
        self.server.start()
        self.addCleanup(self.server.stop)
        self.changes: list[tuple[str, ...] | None] = []
        self.resolver = self.start_resolver(lambda: self.changes.append(self.resolver.cached("a.example")))

    def start_resolver(self, on_change: Callable[[], object] | None = None, timeout: float = 0.1) -> Resolver:
        """A resolver that is stopped with the test."""
        resolver = Resolver(reactor, [self.server.address], timeout, on_change=on_change)
        self.addCleanup(resolver.stop)
        return resolver

    async def test_every_kind_of_answer(self) -> None:
        """A, AAAA, both, an alias and an answer too large for UDP resolve; the rest resolves to nothing."""
        many = tuple(f"192.0.2.{n}" for n in range(100))
        self.server.set("a.example", a=["192.0.2.1", "192.0.2.2"])
        self.server.set("aaaa.example", aaaa=["2001:db8::1"])
        self.server.set("both.example", a=["192.0.2.1"], aaaa=["2001:db8::1"])
        self.server.set("alias.example", cname="both.example")
        self.server.set("many.example", a=many)
        self.server.set("empty.example")
        self.server.break_down("servfail.example", Fault.SERVFAIL)
        self.server.break_down("silent.example", Fault.SILENCE)
        wanted = {
            "a.example": ("192.0.2.1", "192.0.2.2"),
            "aaaa.example": ("2001:db8::1",),
            "both.example": ("192.0.2.1", "2001:db8::1"),
            "alias.example": ("192.0.2.1", "2001:db8::1"),
            "many.example": many,
            "empty.example": (),
            "nowhere.example": (),
            "servfail.example": (),
            "silent.example": (),
        }
        self.resolver.watch(wanted)
        answers = await gatherResults([self.resolver.resolve(name) for name in wanted])
        self.assertEqual(dict(zip(wanted, answers, strict=True)), wanted)
        failing = [problem.message.split()[2] for problem in self.resolver.problems()]
        self.assertEqual(failing, ["empty.example", "nowhere.example", "servfail.example", "silent.example"])

    async def test_a_changed_record_is_noticed(self) -> None:
        """A watched name follows its record when the time to live has ended."""
        self.server.set("a.example", a=["192.0.2.1"], ttl=1)
        self.resolver.watch(["a.example"])
        await wait_for(lambda: self.changes, "the first answer")
        self.server.set("a.example", a=["192.0.2.2"], ttl=1)
        await wait_for(lambda: len(self.changes) > 1, "the second answer")
        self.assertEqual(self.changes, [("192.0.2.1",), ("192.0.2.2",)])

    async def test_every_failure_keeps_the_last_good_answer(self) -> None:
        """A name that is gone, empty, or whose server fails or is silent keeps its addresses."""
        names = ["gone.example", "empty.example", "servfail.example", "silent.example"]
        for name in names:
            self.server.set(name, a=["192.0.2.1"], ttl=1)
        self.resolver.watch(names)
        await wait_for(lambda: len(self.changes) == len(names), "the first answers")
        self.server.remove("gone.example")
        self.server.set("empty.example")
        self.server.break_down("servfail.example", Fault.SERVFAIL)
        self.server.break_down("silent.example", Fault.SILENCE)
        await wait_for(lambda: len(self.resolver.problems()) == len(names), "the failures")
        reasons = sorted(problem.message.partition("Z: ")[2] for problem in self.resolver.problems())
        self.assertRegex("; ".join(reasons), "answered SERVFAIL.*did not answer.*it has no IPv4.*NXDOMAIN")
        self.assertEqual({self.resolver.cached(name) for name in names}, {("192.0.2.1",)})

    async def test_stopping_closes_every_socket(self) -> None:
        """With questions under way over UDP and TCP, nothing is left when stop() has finished."""
        self.server.break_down("silent.example", Fault.SILENCE)
        self.server.break_down("stuck.example", Fault.STUCK)
        resolver = self.start_resolver(timeout=60)
        askers = [resolver.resolve(name) for name in ("silent.example", "stuck.example")]
        await wait_for(lambda: self.server.count("stuck.example", tcp=True), "the question over TCP")
        await resolver.stop()
        self.assertEqual(await gatherResults(askers), [(), ()])
        self.assertEqual(open_questions(), 0)
        await wait_for(lambda: not self.server.connections, "the end of the TCP connections", timeout=1)
