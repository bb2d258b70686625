"""Protocols of ports."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.shared_fields import (
    HTTP_PROTOCOLS,
    PROTOCOLS,
    TLS_PROTOCOLS,
    OptionalPortProtocol,
    PortProtocol,
)


class ProtocolTests(SynchronousTestCase):
    """Names in any case."""

    def test_every_protocol_is_taken_in_any_case(self) -> None:
        """And kept in upper case."""
        adapter: TypeAdapter[str] = TypeAdapter(PortProtocol)
        for name in PROTOCOLS:
            self.assertEqual({adapter.validate_python(form) for form in (name, name.lower(), name.title())}, {name})

    def test_others_are_refused_with_the_nearest(self) -> None:
        """The hint names it."""
        with self.assertRaises(ValidationError) as caught:
            TypeAdapter(PortProtocol).validate_python("htpp")
        self.assertEqual(caught.exception.errors()[0]["ctx"]["hint"], "did you mean HTTP?")

    def test_none_may_be_enough(self) -> None:
        """Only where a protocol can be found out."""
        self.assertEqual(TypeAdapter(OptionalPortProtocol).validate_python(""), "")
        with self.assertRaises(ValidationError):
            TypeAdapter(PortProtocol).validate_python("")

    def test_families_are_protocols(self) -> None:
        """And do not overlap."""
        self.assertLess(TLS_PROTOCOLS | HTTP_PROTOCOLS, set(PROTOCOLS))
        self.assertFalse(TLS_PROTOCOLS & HTTP_PROTOCOLS)
