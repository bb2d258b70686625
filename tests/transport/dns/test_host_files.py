"""Tests of meshgate.transport.dns.host_files: what the machine says about names."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import TestCase

from meshgate.transport.dns.host_files import LOOPBACK, HostsFile, ParsedFile, parse_hosts, parse_resolv_conf
from tests.support import new_folder


class HostsTests(TestCase):
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
