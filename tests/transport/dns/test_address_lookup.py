"""Tests of meshgate.transport.dns.address_lookup: addresses from real name servers on loopback."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.names import dns
from twisted.trial.unittest import TestCase

from meshgate.transport.dns.address_lookup import (
    HOSTS_TTL,
    LOOPBACK,
    MAX_ALIASES,
    AddressLookup,
    Answer,
    HostsFile,
    LookupFailedError,
    ParsedFile,
    parse_hosts,
    parse_resolv_conf,
)
from tests.dns_server import DnsServer, Fault, open_questions
from tests.support import free_port, new_folder, reactor, wait_for


class HostsFileTests(TestCase):
    """Files in the form of hosts(5)."""

    def hosts(self, text: str) -> HostsFile:
        """A hosts file with this text."""
        path = new_folder(self) / "hosts"
        path.write_text(text)
        return HostsFile(path)

    def test_every_name_of_a_line_counts(self) -> None:
        """The first name and the aliases after it have the address; case does not matter; comments end a line."""
        hosts = self.hosts("192.0.2.1\tdb.example DB\n192.0.2.2 web # db.example\n")
        self.assertEqual(hosts.addresses("db.example"), ("192.0.2.1",))
        self.assertEqual(hosts.addresses("db"), ("192.0.2.1",))

    def test_the_lines_of_a_name_add_up(self) -> None:
        """A name on two lines has both addresses, in the file's order."""
        hosts = self.hosts("2001:db8::1 db\n192.0.2.1 db\n")
        self.assertEqual(hosts.addresses("db"), ("2001:db8::1", "192.0.2.1"))

    def test_broken_lines_are_skipped(self) -> None:
        """Lines without an address or without a name do no harm to the others."""
        self.assertEqual(parse_hosts("oops db\n192.0.2.1\n\n192.0.2.2 db\n"), {"db": ("192.0.2.2",)})

    def test_localhost_needs_no_line(self) -> None:
        """The name localhost and the names under it are the loopback addresses."""
        hosts = self.hosts("")
        self.assertEqual(hosts.addresses("localhost"), LOOPBACK)
        self.assertEqual(hosts.addresses("echo.localhost"), LOOPBACK)
        self.assertEqual(hosts.addresses("notlocalhost"), ())

    def test_a_line_for_localhost_wins(self) -> None:
        """Addresses of localhost in the file take the place of the standard ones."""
        self.assertEqual(self.hosts("127.0.0.1 localhost").addresses("localhost"), ("127.0.0.1",))

    def test_an_address_is_its_own(self) -> None:
        """An IP address needs no looking up."""
        self.assertEqual(self.hosts("").addresses("2001:db8::1"), ("2001:db8::1",))


class ResolvConfTests(TestCase):
    """Files in the form of resolv.conf(5)."""

    def test_name_servers_are_read_in_order(self) -> None:
        """The first three name servers count; search domains, options and what is no address do not."""
        text = "search x.example\nnameserver 192.0.2.1\nnameserver\nnameserver ns.example\n; nameserver 192.0.2.9\n"
        text += "nameserver 2001:db8::1 # second\noptions ndots:5\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"
        servers = parse_resolv_conf(text)
        self.assertEqual(servers, (("192.0.2.1", 53), ("2001:db8::1", 53), ("192.0.2.3", 53)))

    def test_without_any_the_machine_itself_is_asked(self) -> None:
        """An empty file means a name server on this machine."""
        self.assertEqual(parse_resolv_conf(""), (("127.0.0.1", 53),))


class ParsedFileTests(TestCase):
    """Reading again."""

    def setUp(self) -> None:
        """Count how often the file is parsed."""
        self.parsed: list[str] = []
        self.path = new_folder(self) / "file"
        self.file = ParsedFile(self.path, self.parse)

    def parse(self, text: str) -> str:
        """Parse by doing nothing."""
        self.parsed.append(text)
        return text

    def test_it_is_parsed_again_only_when_it_changed(self) -> None:
        """The same file is not parsed twice; an edit and a replacement by rename are seen."""
        self.path.write_text("one")
        self.assertEqual([self.file.value(), self.file.value()], ["one", "one"])
        self.path.write_text("three")
        self.assertEqual(self.file.value(), "three")
        other = Path(f"{self.path}.new")
        other.write_text("seven")
        times = self.path.stat()
        os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
        os.replace(other, self.path)
        self.assertEqual(self.file.value(), "seven")
        self.assertEqual(self.parsed, ["", "one", "three", "seven"])

    def test_a_missing_file_is_empty(self) -> None:
        """A file that is not there, or goes away, counts as empty, and is read when it comes back."""
        self.assertEqual(self.file.value(), "")
        self.path.write_text("one")
        self.assertEqual(self.file.value(), "one")
        self.path.unlink()
        self.assertEqual(self.file.value(), "")


class LookupTestCase(TestCase):
    """A test with a name server and an empty hosts file."""

    def setUp(self) -> None:
        """Start a name server."""
        self.folder = new_folder(self)
        self.hosts = HostsFile(self.folder / "hosts")
        self.server = self.start_server()
        self.lookup = self.look_up_at(self.server).lookup

    def start_server(self) -> DnsServer:
        """A name server that ends with the test."""
        server = DnsServer(reactor)
        server.start()
        self.addCleanup(server.stop)
        return server

    def look_up_at(self, *servers: DnsServer, timeout: float = 5.0) -> AddressLookup:
        """A lookup at these servers."""
        return AddressLookup(reactor, [server.address for server in servers], timeout, self.hosts)

    async def fails(self, lookup: AddressLookup, name: str = "a.example") -> str:
        """The reason for which the name cannot be looked up."""
        with self.assertRaises(LookupFailedError) as caught:
            await lookup.lookup(name, dns.A)
        return str(caught.exception)


class AnswerTests(LookupTestCase):
    """The meaning of DNS replies."""

    async def test_addresses_come_in_the_order_received(self) -> None:
        """An answer has all addresses of the family, with their time to live."""
        self.server.set("a.example", a=["192.0.2.9", "192.0.2.1"], aaaa=["2001:db8::1"], ttl=7)
        self.assertEqual(await self.lookup("a.example", dns.A), Answer(("192.0.2.9", "192.0.2.1"), 7))
        self.assertEqual(await self.lookup("a.example", dns.AAAA), Answer(("2001:db8::1",), 7))

    async def test_a_name_that_does_not_exist_is_an_answer(self) -> None:
        """NXDOMAIN is no failure: the answer is that there is nothing."""
        answer = await self.lookup("a.example", dns.A)
        self.assertEqual(answer, Answer((), reason="the name does not exist (NXDOMAIN)"))

    async def test_no_address_is_an_answer(self) -> None:
        """A name without records of the family says so."""
        self.server.set("a.example", a=["192.0.2.1"])
        answer = await self.lookup("a.example", dns.AAAA)
        self.assertEqual(answer, Answer((), reason="it has no IPv6 address"))

    async def test_aliases_in_one_reply_are_followed(self) -> None:
        """A chain of CNAME records costs one question, and the shortest time to live counts."""
        self.server.set("a.example", cname="b.example", ttl=50)
        self.server.set("b.example", cname="c.example", ttl=5)
        self.server.set("c.example", a=["192.0.2.3"], ttl=500)
        self.assertEqual(await self.lookup("a.example", dns.A), Answer(("192.0.2.3",), 5))
        self.assertEqual(len(self.server.asked), 1)

    async def test_aliases_that_lead_away_are_asked_for(self) -> None:
        """A server that tells only the alias is asked for its target."""
        self.server.follows_aliases = False
        self.server.set("a.example", cname="b.example", ttl=5)
        self.server.set("b.example", a=["192.0.2.2"], ttl=500)
        self.assertEqual(await self.lookup("a.example", dns.A), Answer(("192.0.2.2",), 5))
        self.assertEqual(self.server.count("b.example"), 1)

    async def test_an_alias_to_nowhere_does_not_exist(self) -> None:
        """The response code speaks of the end of the chain (RFC 6604)."""
        self.server.follows_aliases = False
        self.server.set("a.example", cname="b.example")
        self.assertIn("NXDOMAIN", (await self.lookup("a.example", dns.A)).reason)

    async def test_a_loop_of_aliases_ends(self) -> None:
        """Two names that are each other's alias fail after a bounded number of questions."""
        self.server.follows_aliases = False
        self.server.set("a.example", cname="b.example")
        self.server.set("b.example", cname="a.example")
        self.assertIn("CNAME records in a row", await self.fails(self.look_up_at(self.server)))
        self.assertEqual(len(self.server.asked), MAX_ALIASES)

    async def test_a_large_answer_comes_over_tcp(self) -> None:
        """A reply that does not fit into a datagram is complete all the same."""
        addresses = tuple(f"192.0.2.{n}" for n in range(200))
        self.server.set("a.example", a=addresses)
        self.assertEqual((await self.lookup("a.example", dns.A)).addresses, addresses)

    async def test_a_name_that_cannot_be_asked_for_fails(self) -> None:
        """Empty labels and labels of 64 characters never reach a server."""
        lookup = self.look_up_at(self.server)
        for name in ("", "a..example", "x" * 64 + ".example", ".".join(["x" * 60] * 5)):
            self.assertEqual(await self.fails(lookup, name), "this is not a DNS name")
        self.assertEqual(self.server.asked, [])

    async def test_an_international_name_is_asked_for_in_ascii(self) -> None:
        """Names beyond ASCII are encoded (RFC 3490)."""
        self.server.set("xn--bcher-kva.example", a=["192.0.2.1"])
        self.assertEqual((await self.lookup("bücher.example", dns.A)).addresses, ("192.0.2.1",))


class ServerTests(LookupTestCase):
    """Several servers, and those that fail."""

    async def test_the_next_server_is_asked_when_one_fails(self) -> None:
        """SERVFAIL, REFUSED and a port without a server do not end the lookup."""
        self.server.set("a.example", a=["192.0.2.1"])
        other = self.start_server()
        for fault in (Fault.SERVFAIL, Fault.REFUSED):
            other.break_down("a.example", fault)
            answer = await self.look_up_at(other, self.server).lookup("a.example", dns.A)
            self.assertEqual(answer.addresses, ("192.0.2.1",))
        servers = [("127.0.0.1", free_port()), self.server.address]
        answer = await AddressLookup(reactor, servers, 5.0, self.hosts).lookup("a.example", dns.A)
        self.assertEqual(answer.addresses, ("192.0.2.1",))

    async def test_the_first_server_is_enough(self) -> None:
        """As long as the first server answers, be it NXDOMAIN, no other is asked."""
        other = self.start_server()
        await self.look_up_at(self.server, other).lookup("a.example", dns.A)
        self.assertEqual(other.asked, [])

    async def test_a_silent_server_is_asked_twice(self) -> None:
        """A lost datagram is sent again; after that, the failure names the server."""
        self.server.break_down("a.example", Fault.SILENCE)
        reason = await self.fails(self.look_up_at(self.server, timeout=0.05))
        self.assertRegex(reason, r"^127\.0\.0\.1:\d+ did not answer within 0\.05 s$")
        self.assertEqual(self.server.count("a.example"), 2)

    async def test_a_failing_server_is_not_asked_twice(self) -> None:
        """A server that answers SERVFAIL or hangs up has been heard; asking again at once would not help."""
        self.server.break_down("a.example", Fault.SERVFAIL)
        self.assertRegex(await self.fails(self.look_up_at(self.server)), r"^127\.0\.0\.1:\d+ answered SERVFAIL$")
        self.assertEqual(self.server.count("a.example"), 1)
        self.server.break_down("a.example", Fault.HANG_UP)
        self.assertIn("closed the connection", await self.fails(self.look_up_at(self.server)))
        self.assertEqual(self.server.count("a.example", tcp=True), 1)

    async def test_every_servers_reason_is_told(self) -> None:
        """The failure says what each server did."""
        other = self.start_server()
        self.server.break_down("a.example", Fault.SERVFAIL)
        other.break_down("a.example", Fault.REFUSED)
        reason = await self.fails(self.look_up_at(self.server, other))
        self.assertIn(f"127.0.0.1:{self.server.address[1]} answered SERVFAIL", reason)
        self.assertIn(f"127.0.0.1:{other.address[1]} answered REFUSED", reason)

    async def test_the_servers_of_resolv_conf_are_used(self) -> None:
        """Without servers of its own, the lookup asks those of the file, as it is now."""
        resolv_conf = self.folder / "resolv.conf"
        lookup = AddressLookup(reactor, (), 0.05, self.hosts, resolv_conf)
        resolv_conf.write_text("nameserver 127.0.0.53\nnameserver 127.0.0.54\n")
        reason = await self.fails(lookup)
        self.assertIn("127.0.0.53:53", reason)
        self.assertIn("127.0.0.54:53", reason)
        resolv_conf.write_text("nameserver 127.0.0.55\n")
        self.assertIn("127.0.0.55:53", await self.fails(lookup))

    def test_a_server_is_an_address(self) -> None:
        """A server's name would have to be resolved first, with the process standing still meanwhile."""
        with self.assertRaises(ValueError):
            AddressLookup(reactor, [("ns.example", 53)])

    async def test_cancelling_lets_go_of_the_socket(self) -> None:
        """A lookup that nobody wants any more leaves nothing open, whichever server it is at."""
        self.server.break_down("a.example", Fault.SERVFAIL)
        other = self.start_server()
        other.break_down("a.example", Fault.SILENCE)
        lookup = self.look_up_at(self.server, other).lookup("a.example", dns.A)
        await wait_for(lambda: other.asked, "the question")
        self.assertEqual(open_questions(), 1)
        lookup.cancel()
        self.failureResultOf(lookup, CancelledError)
        self.assertEqual(open_questions(), 0)


class HostsTests(LookupTestCase):
    """Names that need no server."""

    async def test_the_hosts_file_comes_first(self) -> None:
        """A name that stands in the file is not asked for, not even for the family that it lacks there."""
        Path(self.folder / "hosts").write_text("192.0.2.7 a.example\n")
        self.server.set("a.example", a=["192.0.2.1"], aaaa=["2001:db8::1"])
        self.assertEqual(await self.lookup("a.example", dns.A), Answer(("192.0.2.7",), HOSTS_TTL))
        self.assertEqual((await self.lookup("a.example", dns.AAAA)).addresses, ())
        self.assertEqual(self.server.asked, [])

    async def test_localhost_is_not_asked_for(self) -> None:
        """The name localhost has its loopback address in each family."""
        self.assertEqual((await self.lookup("localhost", dns.A)).addresses, ("127.0.0.1",))
        self.assertEqual((await self.lookup("localhost", dns.AAAA)).addresses, ("::1",))
        self.assertEqual(self.server.asked, [])
