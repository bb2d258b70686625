"""Tests of :mod:`meshgate.providers.snapshot`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.snapshot import Snapshot
from meshgate.resources.problem import Severity


def document(name: str, **spec: Any) -> dict[str, Any]:
    """A Gateway on a TCP port, as a plain mapping."""
    server = {"port": {"number": 2701, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name},
        "spec": {"servers": [server], **spec},
    }


class FromDocumentsTests(SynchronousTestCase):
    """:meth:`Snapshot.from_documents`."""

    def test_documents_become_resources(self) -> None:
        """Each resource has the provider and the source as its origin, and the default namespace."""
        documents = [document("a"), document("b")]
        snapshot = Snapshot.from_documents(
            documents, provider="hosts", source="http://inventory/", default_namespace="edge"
        )
        self.assertEqual(
            [each.key for each in snapshot.resources], [("Gateway", "edge", "a"), ("Gateway", "edge", "b")]
        )
        origins = [each.origin for each in snapshot.resources]
        self.assertEqual(
            [(o.provider, o.file, o.document) for o in origins],
            [
                ("hosts", "http://inventory/", 0),
                ("hosts", "http://inventory/", 1),
            ],
        )
        self.assertEqual(snapshot.problems, ())

    def test_no_documents(self) -> None:
        """Nothing makes an empty snapshot, which withdraws."""
        self.assertEqual(Snapshot.from_documents([], provider="hosts"), Snapshot())

    def test_equal_documents_make_equal_snapshots(self) -> None:
        """So that publishing the same again is no news."""
        one, other = (Snapshot.from_documents([document("a")], provider="hosts") for _ in range(2))
        self.assertEqual(one, other)

    def test_an_invalid_document_is_left_out(self) -> None:
        """The others serve, and the problem names the document and its provider."""
        snapshot = Snapshot.from_documents([document("a", servers="none"), document("b")], provider="hosts")
        self.assertEqual([each.name for each in snapshot.resources], ["b"])
        self.assertEqual([each.name for each in snapshot.refused], ["a"])
        (problem,) = snapshot.problems
        self.assertIs(problem.severity, Severity.ERROR)
        self.assertEqual((problem.subject(), problem.path), ("Gateway default/a", "spec.servers"))
        self.assertEqual(problem.location(), "hosts")

    def test_an_unknown_field_is_a_warning(self) -> None:
        """The resource serves, as it would in a running gateway from a file."""
        snapshot = Snapshot.from_documents([document("a", colour="red")], provider="hosts")
        self.assertEqual(len(snapshot.resources), 1)
        self.assertEqual([problem.severity for problem in snapshot.problems], [Severity.WARNING])

    def test_something_that_is_no_document(self) -> None:
        """A provider's mistake is a problem, not an exception."""
        snapshot = Snapshot.from_documents(["Gateway"], provider="hosts")  # type: ignore[list-item]
        self.assertEqual((snapshot.resources, len(snapshot.problems)), ((), 1))
