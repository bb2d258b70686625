"""Tests of :mod:`meshgate.routing.compile.servers`: the servers that this gateway runs, and those that are dropped."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem
from meshgate.routing.compile.precedence import loss_problems
from meshgate.routing.compile.servers import BoundServer, MergedServers, PortUse
from tests.configurations import (
    Document,
    codes,
    gateway,
    read,
    tcp_server,
    tls_server,
)
from tests.routing.compile.bound import gateways, server, servers

A, B, C = "a.example.com", "b.example.com", "c.example.com"
HTTP: Document = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}


def merged(*documents: Document) -> MergedServers:
    """The servers of Gateways, the oldest Gateway first."""
    result = MergedServers()
    for each in gateways(read(*documents)):
        result.add(servers(each))
    return result


def names(found: MergedServers) -> list[str]:
    """The servers that are left, as ``gateway/index``."""
    return [f"{each.gateway.name}/{each.index}" for each in found.in_order()]


class ServerTests(SynchronousTestCase):
    """The servers of one Gateway."""

    def test_kinds_of_servers(self) -> None:
        """HTTP is what a gateway below HTTP does not serve: plain HTTP, and HTTPS that terminates."""

        def kinds(one: BoundServer) -> tuple[bool, bool, bool]:
            return one.is_http, one.is_tls, one.is_passthrough

        https = {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [A]}
        for one, want in [
            (tcp_server(1), (False, False, False)),
            (tls_server(1), (False, True, True)),
            (tls_server(1, mode="SIMPLE"), (False, True, False)),
            (HTTP, (True, False, False)),
            ({**https, "tls": {"mode": "SIMPLE", "credentialName": "c"}}, (True, True, False)),
            ({**https, "tls": {"mode": "PASSTHROUGH"}}, (False, True, True)),
        ]:
            self.assertEqual(kinds(server(gateway("gw", one))), want, one)


def problems(found: MergedServers) -> list[Problem]:
    """The problems of dropped servers."""
    return list(loss_problems(found.losses, {loss.key: loss for loss in found.losses}))


class MergedServersTests(SynchronousTestCase):
    """The servers of several Gateways on one port."""

    def test_a_plain_server_keeps_its_port(self) -> None:
        """A later server of any kind loses the port, and the problem names the winner."""
        for late in (tcp_server(9000), tls_server(9000), {**HTTP, "port": {**HTTP["port"], "number": 9000}}):
            found = merged(gateway("gw", tcp_server(9000)), gateway("late", late))
            self.assertEqual(names(found), ["gw/0"])
            (problem,) = problems(found)
            self.assertEqual((problem.code, problem.name), ("MG2003", "late"))
            self.assertEqual(problem.path, "spec.servers[0].port.number")
            self.assertIn("Gateway default/gw", problem.message)
            self.assertEqual([(key.name, index) for key, index in found.dropped], [("late", 0)])

    def test_a_plain_server_takes_a_port_of_tls(self) -> None:
        """A plain server that comes after TLS servers shares the port with them; then no other may come."""
        found = merged(gateway("gw", tls_server(9000, [A]), tcp_server(9000)), gateway("late", tls_server(9000, [B])))
        self.assertEqual(names(found), ["gw/0", "gw/1"])
        self.assertEqual(codes(problems(found)), ["MG2003"])

    def test_http_servers_share_a_port(self) -> None:
        """Plain HTTP servers are told apart by their hosts, and lose no port to each other."""
        self.assertEqual(names(merged(gateway("gw", HTTP), gateway("late", HTTP))), ["gw/0", "late/0"])

    def test_another_bind_is_another_server(self) -> None:
        """Neither the port nor the hosts of another bind are taken."""
        one, other = {"bind": "127.0.0.1"}, {"bind": "127.0.0.2"}
        for kind in (tcp_server, tls_server):
            self.assertEqual(merged(gateway("gw", kind(1, **one)), gateway("late", kind(1, **other))).losses, [])

    def test_a_doubled_host_drops_the_whole_server(self) -> None:
        """A TLS server that repeats a host of its port loses its other hosts as well; these stay free."""
        found = merged(
            gateway("gw", tls_server(443, [A, B])),
            gateway("late", tls_server(443, [C, B])),
            gateway("later", tls_server(443, [C])),
        )
        self.assertEqual(names(found), ["gw/0", "later/0"])
        (problem,) = problems(found)
        self.assertEqual((problem.code, problem.name, problem.path), ("MG2002", "late", "spec.servers[0].hosts[1]"))
        self.assertIn("Gateway default/gw", problem.message)

    def test_the_same_host_on_another_port(self) -> None:
        """It is no duplicate."""
        self.assertEqual(merged(gateway("gw", tls_server(443, [A]), tls_server(8443, [A]))).losses, [])

    def test_groups_are_built_one_after_the_other(self) -> None:
        """Servers of one group follow the first of them; an older server elsewhere moves the group to the front."""
        found = merged(
            gateway("g0", tls_server(443, [A]), tls_server(8443, [A])),
            gateway("g1", tls_server(8443, [B]), tls_server(443, [B])),
        )
        self.assertEqual(names(found), ["g0/0", "g1/1", "g0/1", "g1/0"])
        older = server(gateway("older", tls_server(8443, [C]), creationTimestamp="2024-01-01T00:00:00Z"))
        ports = [each.port for each in found.in_order({older.group: older.age})]
        self.assertEqual(ports, [8443, 8443, 443, 443])


class PortUseTests(SynchronousTestCase):
    """The ports on which Gateways can clash whatever their hosts."""

    def test_contested(self) -> None:
        """Two Gateways contest a port if one has a plain server, or one plain HTTP and one TLS."""
        plain, http, tls = tcp_server(80), HTTP, tls_server(80)
        for first, second, want in [
            (plain, plain, True),
            (plain, tls, True),
            (plain, http, True),
            (http, tls, True),
            (http, http, False),
            (tls, tls, False),
        ]:
            uses = [PortUse.by_port([server(gateway("gw", each))])[80] for each in (first, second)]
            self.assertEqual(uses[0].plus(uses[1]).contested, want, (first, second))
            self.assertFalse(uses[0].contested)
