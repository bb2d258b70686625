"""The same resource more than once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.latest import latest
from meshgate.resources.model import Labels
from meshgate.resources.problem import Origin, Severity
from meshgate.resources.resource import Resource


def resource(name: str, file: str, document: int, provider: str = "p", namespace: str = "default") -> Resource[Any]:
    """A Gateway with an origin."""
    origin = Origin(provider, file, 1 + 10 * document, 1, document)
    return Resource("Gateway", namespace, name, Labels(), None, None, origin)


#: The origin of a resource: provider, file and document.
PLACES = st.tuples(st.sampled_from("pq"), st.sampled_from(["a.yaml", "b.yaml"]), st.integers(0, 3))


def placed(names: dict[tuple[str, str, int], str]) -> list[Resource[Any]]:
    """A resource for each origin, with the name given for it."""
    return [resource(name, file, document, provider) for (provider, file, document), name in names.items()]


#: Resources of few names, each with its own origin.
RESOURCES = st.dictionaries(PLACES, st.sampled_from("xyz"), max_size=8).map(placed)


class LatestTests(SynchronousTestCase):
    """The resource that counts."""

    def test_the_later_one_counts(self) -> None:
        """The latest by provider, file and document counts, whatever the order of the input."""
        gateways = [
            resource("x", "a.yaml", 0),
            resource("x", "a.yaml", 10),
            resource("x", "b.yaml", 2),
            resource("x", "a.yaml", 0, provider="q"),
        ]
        for count in range(1, len(gateways) + 1):
            kept, warnings = latest(reversed(gateways[:count]))
            self.assertEqual(kept, [gateways[count - 1]])
            self.assertEqual(len(warnings), count - 1)

    def test_the_warning_names_both_places(self) -> None:
        """The warning has the position of the resource that does not count."""
        _, (warning,) = latest([resource("x", "b.yaml", 1), resource("x", "a.yaml", 2)])
        self.assertEqual((warning.severity, warning.code), (Severity.WARNING, "MG0007"))
        self.assertEqual((warning.file, warning.line, warning.subject()), ("a.yaml", 21, "Gateway default/x"))
        self.assertEqual(
            str(warning),
            "a.yaml:21:1: warning[MG0007]: Gateway default/x: defined again at b.yaml:11:1, which counts, since b.yaml "
            "sorts last; the copy here, at a.yaml:21:1, has no effect (remove one of the two)",
        )

    def test_the_warning_says_why(self) -> None:
        """A document is later by the name of its provider, of its file, or in its file; a changed copy is no copy."""
        first = resource("x", "routes.yaml", 0)
        changed = replace(first, labels=Labels({"team": "shop"}), origin=replace(first.origin, file="routes-new.yaml"))
        for one, other, want in [
            (
                first,
                resource("x", "routes.yaml", 3),
                "at routes.yaml:31:1, which counts, since it comes last in the file",
            ),
            (
                first,
                resource("x", "a.yaml", 0, provider="q"),
                "since the provider 'q' sorts last; the copy here, at routes",
            ),
            (
                changed,
                first,
                "since routes.yaml sorts last; what is written here, at routes-new.yaml:1:1, has no effect",
            ),
        ]:
            _, (warning,) = latest([one, other])
            self.assertIn(want, warning.message)

    def test_other_namespaces_are_other_resources(self) -> None:
        """Nothing is lost of what only looks alike."""
        both = [resource("x", "a.yaml", 0), resource("x", "a.yaml", 1, namespace="other")]
        self.assertEqual(latest(both), (both, []))

    @settings(deadline=None, max_examples=200)
    @given(RESOURCES.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
    def test_the_order_of_the_input_is_of_no_account(
        self, pair: tuple[list[Resource[Any]], list[Resource[Any]]]
    ) -> None:
        """Neither for what counts nor for the warnings; and each resource is either kept or warned of."""
        found, shuffled = pair
        kept, warnings = latest(found)
        self.assertEqual(latest(shuffled), (kept, warnings))
        self.assertEqual({one.key for one in kept}, {one.key for one in found})
        self.assertEqual(len(kept) + len(warnings), len(found))
