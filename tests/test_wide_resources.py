"""Resources of thousands of parts: none of the steps in which one is compiled, and let go of, grows with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.compiling import Known, compile_state
from meshgate.providers.feed import FeedState
from meshgate.providers.registry import find_factories
from meshgate.resources.record import Resource
from meshgate.resources.steps import run_through
from meshgate.routing.compile import Compilation
from meshgate.settings import Settings, load_settings
from meshgate.settings_model import EXTENDED
from tests.configurations import (
    Document,
    destination_rule,
    gateway,
    read,
    service,
    target,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)
from tests.support import new_folder

Shape = Callable[[int, str], list[Document]]

BACKEND = [service("x", {"port": 80, "name": "tls"}, selector={"app": "x"}), workload("w", "127.0.0.1", {"app": "x"})]


def names(count: int, last: str) -> list[str]:
    """So many server names, the last of them of its own."""
    return [*(f"h{number}.example.com" for number in range(count - 1)), f"{last}.example.com"]


def rules(count: int, last: str) -> list[Document]:
    """One VirtualService with many rules."""
    hosts = names(count, last)
    one = virtual_service("v", hosts, ["g"], tls=[tls_rule([host], "x") for host in hosts])
    return [*BACKEND, gateway("g", tls_server(443, ["*"])), one]


def blocks(count: int, last: str) -> list[Document]:
    """One VirtualService with many blocks in one rule."""
    hosts = names(count, last)
    rule = tls_rule([], "x")
    rule["match"] = [{"sniHosts": [host]} for host in hosts]
    return [*BACKEND, gateway("g", tls_server(443, ["*"])), virtual_service("v", hosts, ["g"], tls=[rule])]


def block(count: int, last: str) -> list[Document]:
    """One VirtualService with one block of many names, beside another one, and hosts of which only the last is met."""
    hosts = names(count, last)
    wide = virtual_service("v", ["*"], ["g"], tls=[tls_rule(hosts, "x")])
    other = virtual_service("w", ["o.org"], ["g"], tls=[tls_rule(["o.org"], "x")])
    late = virtual_service("l", [*hosts, "late.net"], ["g"], tls=[tls_rule(["late.net"], "x")])
    return [*BACKEND, gateway("g", tls_server(443, ["o.org", "*.net", "*.com"])), wide, other, late]


def hosts(count: int, last: str) -> list[Document]:
    """One Gateway with many hosts."""
    one = virtual_service("v", ["*.example.com"], ["g"], tls=[tls_rule(["h0.example.com", "*.example.com"], "x")])
    return [*BACKEND, gateway("g", tls_server(443, names(count, last))), one]


def outside(count: int, last: str) -> list[Document]:
    """One VirtualService none of whose many hosts the Gateway has."""
    one = virtual_service("v", names(count, last), ["g"], tls=[tls_rule(["h0.example.com"], "x")])
    return [*BACKEND, gateway("g", tls_server(443, ["*.org"])), one]


def clash(count: int, last: str) -> list[Document]:
    """Two VirtualServices, one of which asks for nothing but what the other has."""
    several = [tls_rule([host], "x") for host in names(count, last)]
    rivals = [virtual_service(name, ["*"], ["g"], tls=several) for name in ("a", "b")]
    return [*BACKEND, gateway("g", tls_server(443, ["*"])), *rivals]


def plain(count: int, last: str) -> list[Document]:
    """One VirtualService with many rules for a port that takes one."""
    several = [tcp_rule("x"), *(tcp_rule(f"s{number}") for number in range(count - 2)), tcp_rule(last)]
    return [*BACKEND, gateway("g", tcp_server(4000)), virtual_service("v", ["*"], ["g"], tcp=several)]


def subsets(count: int, last: str) -> list[Document]:
    """One VirtualService with many rules for subsets, of which its own rules tell some apart, also for sidecars."""
    hosts = names(count, last)
    several = [{"match": [{"sniHosts": [host]}], "route": [target("x", subset="s")]} for host in hosts]
    one = virtual_service("v", [*hosts, "x"], ["g", "mesh"], tls=several)
    rule = destination_rule("r", "x", {"name": "s", "labels": {"app": "x"}})
    return [*BACKEND, rule, gateway("g", tls_server(443, ["*"])), one]


def moved(count: int, last: str) -> list[Document]:
    """One VirtualService with many rules, all to one service, which changes."""
    several = [tls_rule([f"h{number}.example.com"], "x") for number in range(count)]
    backend = [BACKEND[0], workload(last, "127.0.0.1", {"app": "x"})]
    return [*backend, gateway("g", tls_server(443, ["*"])), virtual_service("v", ["*"], ["g"], tls=several)]


class WideTests(SynchronousTestCase):
    """Measured in calls of Python functions, which are the same on every machine."""

    def setUp(self) -> None:
        """Settings of no importance."""
        file = new_folder(self) / "meshgate.yaml"
        file.write_text("providers: []\n")
        self.settings = load_settings(file, find_factories())

    def resources(self, documents: list[Document], before: dict[Any, Resource[Any]]) -> tuple[Resource[Any], ...]:
        """The resources of some documents; those of before where they are the same."""
        found = {each.key: each for each in read(*documents)}
        return tuple(before[key] if before.get(key) == each else each for key, each in found.items())

    def calls(self, steps: Generator[Any, None, Compilation]) -> tuple[list[int], Compilation]:
        """How many calls there are in each step, and the result."""
        calls = 0
        found: list[int] = []

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal calls
            calls += event == "call"

        before = sys.getprofile()
        while True:
            calls = 0
            sys.setprofile(count)
            try:
                next(steps)
            except StopIteration as end:
                return [*found, calls], end.value
            finally:
                sys.setprofile(before)
            found.append(calls)

    def longest(self, shape: Shape, count: int, settings: Settings) -> int:
        """The calls in the longest step while a wide resource comes, changes and goes."""
        known, most = Known(), 0
        given: tuple[Resource[Any], ...] = ()
        for generation, last in enumerate(["one", "two", ""], 1):
            documents = shape(count, last) if last else BACKEND
            given = self.resources(documents, {each.key: each for each in given})
            calls, found = self.calls(compile_state(FeedState(given), settings, generation, known))
            most = max(most, *calls)
            afresh = run_through(compile_state(FeedState(given), settings, generation, Known()))
            self.assertEqual(found.table, afresh.table)
            self.assertEqual(found.problems, afresh.problems)
            if last and shape is not outside:
                (listener,) = found.table.listeners.values()
                self.assertTrue(listener.exact or listener.catch_all)
        return most

    def test_no_step_grows(self) -> None:
        """Of four times as many parts, there are more steps, and none that is longer."""
        for settings in (self.settings, replace(self.settings, semantics=EXTENDED)):
            for shape in (rules, blocks, block, hosts, outside, clash, plain, subsets, moved):
                few, many = (self.longest(shape, count, settings) for count in (250, 1000))
                self.assertLess(many, few + 600, f"{shape.__name__}, {settings.semantics}")

    def test_subsets_are_told_apart_one_by_one(self) -> None:
        """Four times as many VirtualServices that tell the subsets of their hosts apart are four times the work."""
        total = []
        for count in (100, 400):
            documents = [
                virtual_service(f"v{number}", [f"s{number}.org"], ["mesh"], tcp=[{"route": [target(host, subset="s")]}])
                for number in range(count)
                for host in [f"s{number}.org"]
            ]
            calls, _ = self.calls(compile_state(FeedState(self.resources(documents, {})), self.settings, 1, Known()))
            total.append(sum(calls))
        self.assertLess(total[1], 5 * total[0])
