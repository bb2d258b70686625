"""The forms of names."""

from __future__ import annotations

import ipaddress
import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources import names
from meshgate.resources.names import dns_label, ip_address, name_hint, wildcard_domain

LONG = "x" * 64
NAME_CHARACTERS = st.text("aB1-._*/%:", max_size=12)


class DnsLabelTests(SynchronousTestCase):
    """Single labels."""

    def test_labels_are_of_letters_digits_and_hyphens(self) -> None:
        """Any case and any number of hyphens inside is fine."""
        for label in ("a", "A1", "a--b", "5", "x" * 63):
            self.assertEqual(names.dns_label(label), "", label)

    def test_what_is_wrong_is_said(self) -> None:
        """Each fault has its own words."""
        self.assertEqual(names.dns_label(""), '"" is not a DNS label: it is empty')
        self.assertEqual(names.dns_label("a_b"), '"a_b" is not a DNS label: it has the character "_"')
        self.assertEqual(names.dns_label("a.b"), '"a.b" is not a DNS label: it has the character "."')
        self.assertEqual(names.dns_label("-a"), '"-a" is not a DNS label: it begins with "-"')
        self.assertEqual(names.dns_label("a-"), '"a-" is not a DNS label: it ends with "-"')
        self.assertTrue(names.dns_label(LONG).endswith("it has more than 63 characters"))


class DomainTests(SynchronousTestCase):
    """Domain names, with and without wildcards."""

    def test_domains(self) -> None:
        """Short names count as domains, and so do those with a dot at the end."""
        for name in ("a", "a.b", "A.example.com.", "xn--bcher-kva.example", "1.a", "5."):
            self.assertEqual(names.fqdn(name), "", name)

    def test_no_domains(self) -> None:
        """Each fault has its own words, and names the label."""
        for name, why in {
            "": "it is empty",
            "a..b": 'its label "" is empty',
            ".": 'its label "" is empty',
            "a_b": 'it has the character "_"',
            "a.b_c.d": 'its label "b_c" has the character "_"',
            "1.2.3.4": "its last label 4 is a number",
            "*.a": 'one "*" is allowed, as the first label or at its beginning',
            f"{LONG}.a": "has more than 63 characters",
            ".".join(["x" * 60] * 5): "it has more than 255 characters",
        }.items():
            self.assertTrue(names.fqdn(name).endswith(why), names.fqdn(name))

    def test_wildcard_domains(self) -> None:
        """A star may be the first label or begin it; the label before all others may be a number."""
        for name in ("*", "*.a", "*a", "*-a.example", "a.b", "5", "*.example.com."):
            self.assertEqual(names.wildcard_domain(name), "", name)

    def test_no_wildcard_domains(self) -> None:
        """Stars elsewhere, addresses and faulty labels are refused."""
        for name, why in {
            "a.*": 'one "*" is allowed',
            "*.*.a": 'one "*" is allowed',
            "**": 'one "*" is allowed',
            "a*.b": 'one "*" is allowed',
            "a.-b": 'its label "-b" begins with "-"',
            "*.5": "its last label 5 is a number",
            "10.1.1.1": "its last label 1 is a number",
            "ns/a.b": 'its label "ns/a" has the character "/"',
            f"*{LONG}.a": "has more than 63 characters",
        }.items():
            self.assertIn(why, names.wildcard_domain(name))

    @settings(deadline=None, max_examples=300)
    @given(NAME_CHARACTERS)
    def test_domains_are_wildcard_domains(self, name: str) -> None:
        """Every domain is a wildcard domain; a wildcard domain with a plain first label is a domain."""
        if not names.fqdn(name):
            self.assertEqual(names.wildcard_domain(name), "")
        if not names.wildcard_domain(name) and "." in name and not name.startswith("*"):
            self.assertEqual(names.fqdn(name), "")

    @settings(deadline=None, max_examples=300)
    @given(st.text(string.printable, max_size=12))
    def test_every_text_is_judged(self, text: str) -> None:
        """No text makes a check fail, and every message is one line."""
        for check in (
            names.dns_label,
            names.fqdn,
            names.wildcard_domain,
            names.server_name,
            names.ip_address,
            names.subnet,
            names.unix_path,
        ):
            self.assertNotIn("\n", check(text))

    def test_server_names(self) -> None:
        """Beside domains, the names of AUTO_PASSTHROUGH are server names."""
        for name in ("a.example.com", "*.example.com", "outbound_.80_._.a.example.com", "outbound_.443_.v1_.a"):
            self.assertEqual(names.server_name(name), "", name)
        for name in ("inbound_.80_._.a", "outbound_.http_._.a", "outbound_.80_._", "outbound_.80_._.1"):
            self.assertNotEqual(names.server_name(name), "", name)


class AddressTests(SynchronousTestCase):
    """IP addresses, networks and Unix sockets."""

    def test_addresses(self) -> None:
        """Both families, with zones."""
        for address in ("127.0.0.1", "::", "2001:db8::1", "::ffff:1.2.3.4", "fe80::1%eth0"):
            self.assertEqual(names.ip_address(address), "", address)
        for address in ("", "localhost", "1.2.3", "1.2.3.04", "1.2.3.4/32", "[::1]"):
            self.assertEqual(names.ip_address(address).rpartition('"')[2], " is not an IP address", address)

    @settings(deadline=None, max_examples=200)
    @given(st.ip_addresses() | NAME_CHARACTERS)
    def test_addresses_are_those_of_the_standard_library(self, value: object) -> None:
        """The short way out for names refuses no address."""
        try:
            ipaddress.ip_address(str(value))
        except ValueError:
            self.assertFalse(names.is_ip_address(str(value)))
        else:
            self.assertTrue(names.is_ip_address(str(value)))

    def test_networks(self) -> None:
        """An address, or one with the length of a prefix; host bits may be set."""
        for network in ("10.1.2.3", "10.1.2.3/8", "0.0.0.0/0", "2001:db8::1/64", "::/128"):
            self.assertEqual(names.subnet(network), "", network)
        self.assertIn("as 10.1.0.0/16", names.subnet("net"))
        self.assertIn('"ten" is not an IP address', names.subnet("ten/8"))
        self.assertIn('a number from 0 to 32, not "33"', names.subnet("10.0.0.0/33"))
        self.assertIn('a number from 0 to 32, not "08"', names.subnet("10.0.0.0/08"))
        self.assertIn("a number from 0 to 32", names.subnet("10.0.0.0/255.0.0.0"))
        self.assertIn("a number from 0 to 128", names.subnet("::/8/8"))

    def test_unix_paths(self) -> None:
        """Absolute paths to a file, and abstract names."""
        for path in ("/run/x", "@x", "@"):
            self.assertEqual(names.unix_path(path), "", path)
        for path in ("", "run/x", "/run/", "/"):
            self.assertNotEqual(names.unix_path(path), "", path)


class LabelTests(SynchronousTestCase):
    """Labels of Kubernetes."""

    def test_good_labels(self) -> None:
        """Keys with and without a prefix; values may be empty."""
        good = {"app": "a", "app.kubernetes.io/name": "", "a_b": "A.1-x_y", "x" * 63: "1"}
        self.assertEqual(list(names.labels(good)), [])

    def test_bad_labels(self) -> None:
        """Every bad one is reported, with its key."""
        bad = {"": "a", "a b": "a", "_a": "a", "x/y/z": "a", "a/": "a", LONG: "a", "k": "a b", "l": "-"}
        found = dict(names.labels(bad))
        self.assertEqual(list(found), list(bad))
        self.assertEqual(found["k"], '"a b" is not a label\'s value: it has the character " "')
        self.assertEqual(found["_a"], '"_a" is not a label\'s key: it must begin and end with a letter or digit')
        self.assertIn("before the slash", found["x/y/z"])
        self.assertIn("its name is empty", found["a/"])


class LikelyTests(SynchronousTestCase):
    """Guesses of the name that was meant."""

    def test_common_mistakes(self) -> None:
        """Parts of a URL, a port, blanks around, and underscores."""
        for text, meant in {
            "https://a.example.com": "a.example.com",
            "https://a.example.com:8443/path?x=1": "a.example.com",
            "a.example.com/": "a.example.com",
            "a.example.com:443": "a.example.com",
            " a.example.com ": "a.example.com",
            "my_app.example.com": "my-app.example.com",
        }.items():
            self.assertEqual(name_hint(text, wildcard_domain), f'did you mean "{meant}"?')
        self.assertEqual(name_hint("10.0.0.1:80", ip_address), 'did you mean "10.0.0.1"?')
        self.assertEqual(name_hint("my app", dns_label), 'did you mean "my-app"?')

    def test_nothing_is_near(self) -> None:
        """A hint that would be wrong itself is none."""
        for text in ("", "ä.example.com", "a..b", "*.*.com"):
            self.assertEqual(name_hint(text, wildcard_domain), "", text)

    @settings(deadline=None, max_examples=200)
    @given(st.text("a1-._ *:/", max_size=12))
    def test_hints_are_good_names(self, text: str) -> None:
        """Every name in a hint passes the check."""
        hint = name_hint(text, wildcard_domain)
        if hint:
            self.assertEqual(wildcard_domain(hint.removeprefix('did you mean "').removesuffix('"?')), "")
