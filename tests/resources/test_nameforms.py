"""Hints for names that are not well formed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.nameforms import likely
from meshgate.resources.names import dns_label, ip_address, wildcard_domain


class LikelyTests(SynchronousTestCase):
    """What was probably meant."""

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
            self.assertEqual(likely(text, wildcard_domain), f'did you mean "{meant}"?')
        self.assertEqual(likely("10.0.0.1:80", ip_address), 'did you mean "10.0.0.1"?')
        self.assertEqual(likely("my app", dns_label), 'did you mean "my-app"?')

    def test_nothing_is_near(self) -> None:
        """A hint that would be wrong itself is none."""
        for text in ("", "ä.example.com", "a..b", "*.*.com"):
            self.assertEqual(likely(text, wildcard_domain), "", text)

    @settings(deadline=None, max_examples=200)
    @given(st.text("a1-._ *:/", max_size=12))
    def test_hints_are_good_names(self, text: str) -> None:
        """Whatever is hinted at would be taken."""
        hint = likely(text, wildcard_domain)
        if hint:
            self.assertEqual(wildcard_domain(hint.removeprefix('did you mean "').removesuffix('"?')), "")
