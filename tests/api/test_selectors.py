"""Tests of :mod:`meshgate.api.selectors`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.refusal import RefusedError
from meshgate.api.selectors import field_selector, label_selector


def labelled(**labels: str) -> dict[str, object]:
    """An object with these labels."""
    return {"metadata": {"name": "a", "namespace": "n", "labels": labels}}


class LabelSelectorTests(SynchronousTestCase):
    """Selectors of labels."""

    def selected(self, text: str, **labels: str) -> bool:
        """True if the selector selects an object with these labels."""
        return label_selector(text)(labelled(**labels))

    def test_requirements(self) -> None:
        """Each kind of requirement selects what Kubernetes' documentation says."""
        for text, labels, wanted in (
            ("", {}, True),
            ("app=a", {"app": "a"}, True),
            ("app==a", {"app": "a"}, True),
            ("app=a", {"app": "b"}, False),
            ("app=a", {}, False),
            ("app!=a", {}, True),
            ("app!=a", {"app": "a"}, False),
            ("app in (a, b)", {"app": "b"}, True),
            ("app in (a,b)", {"app": "c"}, False),
            ("app notin (a,b)", {}, True),
            ("app notin (a,b)", {"app": "a"}, False),
            ("app", {"app": ""}, True),
            ("!app", {"app": ""}, False),
            ("!app", {}, True),
            ("app=a,tier in (x,y),!old", {"app": "a", "tier": "y"}, True),
            ("app=a,tier in (x,y),!old", {"app": "a", "tier": "y", "old": "1"}, False),
        ):
            self.assertIs(self.selected(text, **labels), wanted, text)

    def test_refused(self) -> None:
        """Something else is refused with its text."""
        for text in ("=a", "app=(", "a b", "app in a", "app=a,,"):
            error = self.assertRaises(RefusedError, label_selector, text)
            self.assertEqual(error.code, 400, text)

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Any text is a selector, or refused."""
        try:
            self.assertIn(label_selector(text)(labelled(app="a")), (True, False))
        except RefusedError as refusal:
            self.assertEqual(refusal.code, 400)


class FieldSelectorTests(SynchronousTestCase):
    """Selectors of fields."""

    def test_fields(self) -> None:
        """The name and the namespace select, alone and together."""
        for text, wanted in (
            ("metadata.name=a", True),
            ("metadata.name==b", False),
            ("metadata.name!=b", True),
            ("metadata.name=a,metadata.namespace=n", True),
            ("metadata.name=a,metadata.namespace=m", False),
        ):
            self.assertIs(field_selector(text)(labelled()), wanted, text)

    def test_other_fields(self) -> None:
        """Any other field is refused, as by Kubernetes for custom resources."""
        error = self.assertRaises(RefusedError, field_selector, "spec.host=a")
        self.assertIn("field label not supported", error.message)
