"""Validation of a value by a model."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.fault import chain_rules
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.supported_kinds import KINDS
from meshgate.resources.kinds.virtualservice import VirtualServiceSpec
from meshgate.resources.problem import Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.validation import validate, validate_partially

SERVER: dict[str, Any] = {"port": {"number": 443, "name": "tls", "protocol": "TLS"}, "hosts": ["*"], "tls": {}}

FIELDS = sorted({field.alias or "" for kind in KINDS.values() for field in kind.model.model_fields.values()})
FIELDS += ["port", "number", "protocol", "name", "match", "route", "destination", "host", "mode", "sniHosts", "labels"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "TCP", "a", "80", "DNS"])
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=4),
    max_leaves=30,
)


class UnknownFieldTests(SynchronousTestCase):
    """Fields that the model does not have."""

    def test_the_rest_makes_the_record(self) -> None:
        """Each is a fault with the nearest name among those that belong there, and the value is left as it was."""
        value = {"servers": [{**SERVER, "hsts": 1, "tls": {"mod": "SIMPLE"}}], "selectr": {}}
        before = copy.deepcopy(value)
        spec, faults = validate(GatewaySpec, value, ("spec",), Severity.WARNING)
        self.assertEqual(spec, GatewaySpec.model_validate({"servers": [SERVER]}))
        self.assertEqual(
            {(fault.path, fault.hint) for fault in faults},
            {
                (("spec", "servers", 0, "hsts"), "did you mean hosts?"),
                (("spec", "servers", 0, "tls", "mod"), "did you mean mode?"),
                (("spec", "selectr"), "did you mean selector?"),
            },
        )
        self.assertEqual({(f.code, f.severity, f.points_at_key) for f in faults}, {("MG1001", Severity.WARNING, True)})
        self.assertEqual(value, before)

    def test_other_faults_are_reported_as_well(self) -> None:
        """An unknown field at one depth does not hide faults at another."""
        rule = {"match": [{"sniHost": ["a"]}], "route": [{"destination": {"host": "a", "port": {"nummer": 1}}}]}
        spec, faults = validate(VirtualServiceSpec, {"tls": [rule]}, ("spec",), Severity.ERROR)
        self.assertIsNone(spec)
        at = ("spec", "tls", 0)
        number = (*at, "route", 0, "destination", "port")
        self.assertEqual(
            {(fault.path, fault.code) for fault in faults},
            {
                ((*at, "match", 0, "sniHost"), "MG1001"),
                ((*at, "match", 0, "sniHosts"), "MG1002"),
                ((*number, "nummer"), "MG1001"),
                ((*number, "number"), "MG1002"),
            },
        )

    def test_snake_case_is_taken_with_a_warning(self) -> None:
        """As in protobuf's JSON form; unless the field is there already."""
        tls = {"mode": "SIMPLE", "server_certificate": "/c", "private_key": "/k", "privateKey": "/l"}
        spec, faults = validate(GatewaySpec, {"servers": [{**SERVER, "tls": tls}]}, (), Severity.ERROR)
        assert spec is not None
        settings_read = spec.servers[0].tls
        assert settings_read is not None
        self.assertEqual((settings_read.server_certificate, settings_read.private_key), ("/c", "/l"))
        self.assertEqual(
            [(fault.path[-1], fault.code, fault.severity) for fault in faults],
            [("server_certificate", "MG1007", Severity.WARNING), ("private_key", "MG1001", Severity.ERROR)],
        )


class WordingTests(SynchronousTestCase):
    """Messages about values that do not fit."""

    def assert_said(self, server: dict[str, Any], code: str, message: str, hint: str = "") -> None:
        """Exactly this is said of a Gateway with the server."""
        _, faults = validate(GatewaySpec, {"servers": [{**SERVER, **server}]}, (), Severity.ERROR)
        self.assertEqual([(fault.code, fault.message, fault.hint) for fault in faults], [(code, message, hint)])

    def test_each_error_in_our_own_words(self) -> None:
        """With what to do about it."""
        port = {"number": 443, "name": "tls"}
        self.assert_said({"port": port}, "MG1002", "the required field protocol is missing")
        self.assert_said({"name": 5}, "MG1003", "must be text, not the number 5", "put it in quotes")
        self.assert_said({"name": ["a"]}, "MG1003", "must be text, not a list")
        self.assert_said({"hosts": "a"}, "MG1003", 'must be a list, not the text "a"', 'begin each entry with "- "')
        self.assert_said({"hosts": {"a": 1}}, "MG1003", "must be a list, not a mapping")
        self.assert_said({"hosts": [None]}, "MG1003", "must be text, not empty")
        self.assert_said({"tls": []}, "MG1003", "must be a mapping, not a list")
        self.assert_said({"port": 443}, "MG1003", "must be a mapping, not the number 443", "write port: {number: 443}")
        self.assert_said({"tls": {"httpsRedirect": "yes"}}, "MG1003", 'must be true or false, not the text "yes"')
        self.assert_said({"hosts": []}, "MG1006", "the list needs at least one entry")
        out_of_range = {**port, "protocol": "TCP", "number": 70000}
        self.assert_said(
            {"port": out_of_range}, "MG1005", "the number 70000 is out of range", "at most 65535 is allowed"
        )
        fraction = {**out_of_range, "number": 443.0}
        self.assert_said({"port": fraction}, "MG1003", "must be a whole number, not the number 443.0")

    def test_choices_are_listed(self) -> None:
        """The nearest first."""
        choices = "one of TLS_AUTO, TLSV1_0, TLSV1_1, TLSV1_2, TLSV1_3"
        message = 'the text "tlsv1_2" is not one of the choices'
        self.assert_said(
            {"tls": {"minProtocolVersion": "tlsv1_2"}}, "MG1004", message, f"did you mean TLSV1_2? It is {choices}"
        )
        self.assert_said(
            {"tls": {"minProtocolVersion": 9}}, "MG1004", "the number 9 is not one of the choices", choices
        )

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(sorted(KINDS)), JSON)
    def test_any_value_makes_a_record_or_faults(self, kind: str, value: Any) -> None:
        """Never another exception; every fault in printable words, under a known code."""
        record, partial, faults = validate_partially(KINDS[kind].model, value, ("spec",), Severity.WARNING)
        self.assertTrue(record is not None or any(fault.severity is Severity.ERROR for fault in faults))
        for fault in [*faults, *chain_rules(KINDS[kind].faults(partial, ResourceKey(kind, "ns", "x")))]:
            self.assertIn(fault.code, CODES)
            self.assertTrue((fault.message + fault.hint).isprintable(), fault)
            for foreign in ("Input should", "pydantic", "valid dictionary"):
                self.assertNotIn(foreign, fault.message)
