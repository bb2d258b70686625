"""The address families of a server: IPv4 alone for 0.0.0.0, both without a bind; in the table and on real sockets."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import Compilation, compile_table
from meshgate.routing.table import ListenerKey
from meshgate.routing.tell.explain import Call, explain
from tests.configurations import PROXY, compiled, gateway, tcp_rule, tcp_server, tls_rule, tls_server
from tests.configurations import virtual_service as route
from tests.installation import ECHO, Installation
from tests.lab_with_workers import END_OF_GREETING, WorkersTestCase
from tests.support import accepts, wait_for

V4, V6 = "127.0.0.1", "::1"
TCP = route("v", tcp=[tcp_rule("x")])
UNSET: dict[str, Any] = {}
EVERY_V4, EVERY_V6 = {"bind": "0.0.0.0"}, {"bind": "::"}


def addresses(compilation: Compilation) -> list[str]:
    """The addresses of the listeners."""
    return sorted(str(listener.address) for listener in compilation.table.listeners.values())


def warned(compilation: Compilation) -> list[str]:
    """The servers that are told to be reached over other families."""
    return [problem.name for problem in compilation.problems if problem.code == "MG2074"]


class TableTests(SynchronousTestCase):
    """The listeners of the table."""

    def test_each_bind_by_itself(self) -> None:
        """Without a bind both families, otherwise the one that is written."""
        for bind, want in ((UNSET, "[::]:1"), (EVERY_V4, "0.0.0.0:1"), (EVERY_V6, "[::]:1")):
            found = compiled(gateway("gw", tcp_server(1, **bind)), TCP)
            self.assertEqual((addresses(found), warned(found)), ([want], []))
            (listener,) = found.table.listeners.values()
            self.assertEqual(listener.dual_stack, bind == UNSET)

    def test_without_ipv6(self) -> None:
        """Without IPv6, a server without a bind is one for IPv4, and there is no warning."""
        documents = [gateway("gw", tcp_server(1), tcp_server(2, **EVERY_V4), tcp_server(2, ["a.com"])), TCP]
        texts = "\n---\n".join(map(json.dumps, documents))
        found = compile_table(read_text(texts, "routes.yaml").resources, replace(PROXY, ipv6=False))
        self.assertEqual((addresses(found), warned(found)), (["0.0.0.0:1", "0.0.0.0:2"], []))

    def test_the_oldest_server_of_a_listener_decides(self) -> None:
        """Unset and 0.0.0.0 share a listener and clash on it as in Istio; who gets other families is told."""
        for older, younger, want in ((UNSET, EVERY_V4, "[::]:1"), (EVERY_V4, UNSET, "0.0.0.0:1")):
            found = compiled(
                gateway("older", tls_server(1, ["a.com"], **older)),
                gateway("younger", tls_server(1, ["b.com"], **younger)),
                route("v", ["a.com"], ["older"], tls=[tls_rule(["a.com"], "x")]),
                route("w", ["b.com"], ["younger"], tls=[tls_rule(["b.com"], "x")]),
            )
            self.assertEqual((addresses(found), warned(found)), ([want], ["younger"]))
            clash = compiled(
                gateway("older", tcp_server(1, **older)),
                gateway("younger", tcp_server(1, **younger)),
                route("v", gateways=["older", "younger"], tcp=[tcp_rule("x")]),
            )
            lost: list[Problem] = [each for each in clash.problems if each.code == "MG2004"]
            self.assertEqual([addresses(clash), len(lost)], [[want], 1])

    def test_ipv6_of_another_server(self) -> None:
        """Beside a server bound to ::, one without a bind has the IPv4 of the port."""
        found = compiled(gateway("gw", tcp_server(1)), gateway("six", tcp_server(1, **EVERY_V6)), self._both())
        self.assertEqual((addresses(found), warned(found)), (["0.0.0.0:1", "[::]:1"], ["gw"]))
        self.assertFalse(any(listener.dual_stack for listener in found.table.listeners.values()))

    def test_explained_by_any_address(self) -> None:
        """A listener for both families is found without an address, and by that of either family."""
        found = compiled(gateway("gw", tcp_server(1)), TCP)
        for bind in (None, "0.0.0.0", "::"):
            told = explain(found, Call(1, bind=bind, tls=False))
            self.assertEqual(told.result, "routed")
            self.assertIn("the listener [::]:1 is open", told.steps[0])
        found = compiled(gateway("gw", tcp_server(1, **EVERY_V4)), TCP)
        self.assertEqual([explain(found, Call(1, bind="::", tls=False)).result], ["no_listener"])
        self.assertIn("0.0.0.0:1", explain(found, Call(1, tls=False)).steps[0])

    @staticmethod
    def _both() -> Any:
        return route("v", gateways=["gw", "six"], tcp=[tcp_rule("x")])


class Visitor(threading.Thread):
    """A client that comes again and again, over IPv4, until it is told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.visits = 0
        self._port = port
        self._over = threading.Event()

    def run(self) -> None:
        """Visit."""
        while not self._over.is_set() and self.visits < 50_000:
            self.visits += 1
            try:
                with socket.create_connection((V4, self._port), timeout=10) as client:
                    client.shutdown(socket.SHUT_WR)
                    received = b"".join(iter(lambda: client.recv(4096), b""))
                    if END_OF_GREETING not in received:
                        self.faults.append(f"{received!r} for a greeting")
            except OSError as error:
                self.faults.append(str(error))

    async def end(self) -> None:
        """Wait for the last visit."""
        self._over.set()
        await deferToThread(self.join, 30)


class ServingTests(WorkersTestCase):
    """A real gateway whose routes change from one bind to the other and back."""

    async def test_two_workers(self) -> None:
        """Nobody is turned away over IPv4, and IPv6 is served without a bind alone."""
        await self._follows(await self.start())

    async def test_one_process(self) -> None:
        """The same without workers."""
        await self._follows(await self.start(workers="1"))

    async def _follows(self, lab: Installation) -> None:
        port, file = lab.ports[ECHO], lab.routes / "20-echo-gateway.yaml"
        unset = file.read_text()
        written = unset.replace("    - port:", "    - bind: 0.0.0.0\n      port:")
        self.assertNotEqual(written, unset)
        visitor = Visitor(port)
        visitor.start()
        self.addCleanup(visitor.end)
        for text, bind in ((unset, "::"), (written, "0.0.0.0"), (unset, "::"), (written, "0.0.0.0")):
            new = lab.folder / "new"
            new.write_text(text)
            new.rename(file)
            await self._is_served(lab, port, bind)
        await visitor.end()
        self.assertEqual((visitor.faults, visitor.visits > 10), ([], True))

    async def _is_served(self, lab: Installation, port: int, bind: str) -> None:
        """Wait until the port is served as a bind wants it, and the status and the access log say so."""
        await wait_for(lambda: accepts(V6, port) == (bind == "::"), f"the bind {bind}")
        await self.state(lab, bind, lambda status: [port, bind] in _listeners(status))
        seen, shown = len(lab.log()), str(ListenerKey(bind, port))
        await wait_for(lambda: shown in {line["listener"] for line in lab.log()[seen:]}, f"a line of {shown}")


def _listeners(status: dict[str, Any]) -> list[list[Any]]:
    return [[listener["port"], listener["bind"]] for listener in status["listeners"]]
