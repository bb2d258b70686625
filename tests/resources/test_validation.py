"""Validation of a value by a model, and instances of values that have faults."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.fault import BROKEN, chain_rules, sound_items
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.supported_kinds import KINDS
from meshgate.resources.kinds.tls import TLSMode
from meshgate.resources.kinds.virtualservice import VirtualServiceSpec
from meshgate.resources.problem import Origin, Severity
from meshgate.resources.reader import read_document
from meshgate.resources.resource import ResourceKey
from meshgate.resources.validation import partial_instance, validate, validate_partially
from tests.configurations import document

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

    def test_shared_values_have_the_fault_each_time(self) -> None:
        """A program may use one object at several places of a resource."""
        tls = {"mode": "PASSTHROUGH", "sni": "x"}
        server = {"port": {"number": 1, "name": "a", "protocol": "TLS"}, "hosts": ["*"], "tls": tls}
        record, faults = validate(GatewaySpec, {"servers": [server, {**server}]}, ("spec",), Severity.ERROR)
        self.assertIsNotNone(record)
        self.assertEqual([fault.path[2] for fault in faults], [0, 1])
        self.assertIn("sni", tls)

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


def partial(model: type, value: Any) -> Any:
    """The instance of a value for the rules."""
    return validate_partially(model, value, (), Severity.ERROR)[1]


class PartialRecordTests(SynchronousTestCase):
    """Partial instances."""

    def test_whole_values_make_the_same_record(self) -> None:
        """Without faults, rules see what is served."""
        value = {"hosts": ["a.example.com"], "tcp": [{"route": [{"destination": {"host": "x"}}]}]}
        instance, partial, faults = validate_partially(VirtualServiceSpec, value, (), Severity.ERROR)
        self.assertIs(partial, instance)
        self.assertEqual(faults, [])

    def test_only_the_faulty_place_is_broken(self) -> None:
        """Fields, items of lists and values of mappings beside the fault are as they would be."""
        server = {
            "port": {"number": "443", "name": "tls", "protocol": "tls"},
            "hosts": ["a.example.com", 5, "*"],
            "tls": {"mode": "SIMPEL", "credentialName": "c"},
        }
        spec = partial(GatewaySpec, {"servers": [server, 7], "selector": {"a": "b", "c": 1}})
        first, second = spec.servers
        self.assertIs(second, BROKEN)
        self.assertEqual((first.port.number, first.port.protocol, first.bind), (443, "TLS", ""))
        self.assertEqual([host for _, host in sound_items(first.hosts)], ["a.example.com", "*"])
        self.assertIs(first.tls.mode, BROKEN)
        self.assertEqual(first.tls.credential_name, "c")
        self.assertEqual(dict(spec.selector), {"a": "b"})

    def test_sound_fields_are_whole_records(self) -> None:
        """A field without faults is read as ever, with its defaults."""
        tls = {"mode": "MUTUAL"}
        spec = partial(GatewaySpec, {"servers": [{"port": {}, "hosts": ["*"], "tls": tls}]})
        self.assertEqual(spec.servers[0].tls.mode, TLSMode.MUTUAL)
        self.assertEqual(spec.servers[0].tls.cipher_suites, ())
        self.assertIs(spec.servers[0].port.name, BROKEN)

    def test_a_value_that_is_no_mapping_is_broken(self) -> None:
        """No part of such a value can be checked."""
        self.assertIs(partial(GatewaySpec, ["servers"]), BROKEN)
        self.assertIs(partial_instance(GatewaySpec, {"servers": "a"}, [("servers",)]).servers, BROKEN)

    def test_unknown_fields_are_no_fault_here(self) -> None:
        """Unknown fields are taken out first, and the value is validated without them."""
        value = {"hots": 1, "hosts": ["a.example.com"], "tcp": [{"route": [{"destination": {"host": "x"}}]}]}
        instance, faults = validate(VirtualServiceSpec, value, (), Severity.WARNING)
        self.assertIsNotNone(instance)
        self.assertEqual([fault.code for fault in faults], ["MG1001"])


class WithoutFaultsTests(SynchronousTestCase):
    """Instances from which everything broken is taken out."""

    def read(self, kind: str, spec: Any) -> Any:
        """The spec of a resource that is not valid."""
        reading = read_document(document(kind, "x", spec), Origin())
        self.assertIsNone(reading.resource)
        return reading.refused and reading.refused.spec

    def test_objects_keep_their_indexes(self) -> None:
        """Broken objects in lists become empty, so that indexes in paths stay right."""
        good = {"port": {"number": 1, "name": "a", "protocol": "TCP"}, "hosts": ["*"]}
        for broken in (5, None, {}, {"port": 5, "hosts": ["*"]}, {**good, "hosts": [3, "*"]}, {**good, "hosts": "a"}):
            spec = self.read("Gateway", {"servers": [broken, good], "selector": {"app": "x"}})
            self.assertEqual([server.port.name for server in spec.servers][1], "a")
            self.assertEqual([list(server.hosts) for server in spec.servers][1], ["*"])
            self.assertEqual(dict(spec.selector), {"app": "x"})
            self.assertNotIn("Broken", repr(spec))

    def test_fields_have_their_defaults(self) -> None:
        """As if they had been left out."""
        spec = self.read("Gateway", {"servers": 5, "selector": ["x"]})
        self.assertEqual((spec.servers, dict(spec.selector)), ((), {}))

    def test_what_it_cannot_be_without(self) -> None:
        """A DestinationRule without host is about nothing, and a text is no spec."""
        self.assertIsNone(self.read("DestinationRule", {"host": 5}))
        self.assertIsNone(self.read("Gateway", "servers"))

    def test_what_has_no_fault_is_whole(self) -> None:
        """A resource that only a rule refuses is read as it is."""
        spec = self.read("VirtualService", {"hosts": ["a.example.com"], "gateways": ["gw"]})
        self.assertEqual((spec.hosts, spec.gateways), (("a.example.com",), ("gw",)))


class AllAtOnceTests(SynchronousTestCase):
    """One reading shows every fault."""

    def problems(self, kind: str, spec: Any) -> list[tuple[str, str]]:
        """Codes and paths."""
        reading = read_document(document(kind, "x", spec), Origin())
        self.assertIsNone(reading.resource)
        return [(problem.code, problem.path) for problem in reading.problems]

    def test_faults_of_fields_hide_none_between_fields(self) -> None:
        """An unknown choice and a server without its settings are both reported."""
        found = self.problems(
            "Gateway",
            {
                "servers": [
                    {"port": {"number": 1, "name": "a", "protocol": "TPC"}, "hosts": ["*"]},
                    {"port": {"number": 2, "name": "a", "protocol": "TLS"}, "hosts": ["a_b"]},
                ]
            },
        )
        self.assertEqual(
            sorted(found),
            [
                ("MG1004", "spec.servers[0].port.protocol"),
                ("MG1009", "spec.servers[1].port.name"),
                ("MG1024", "spec.servers[1].hosts[0]"),
                ("MG1028", "spec.servers[1].tls"),
            ],
        )

    def test_rules_are_silent_about_faulty_fields(self) -> None:
        """No settings are checked for an unknown protocol, and no server name is compared with faulty hosts."""
        server = {"port": {"number": 1, "name": "a", "protocol": "TPC"}, "hosts": ["*"], "tls": {}}
        self.assertEqual([code for code, _ in self.problems("Gateway", {"servers": [server]})], ["MG1004"])
        rule = {"match": [{"sniHosts": ["a.example.com"]}], "route": [{"destination": {"host": "x"}}]}
        for host in (5, "a_example.com"):
            found = self.problems("VirtualService", {"hosts": [host], "gateways": ["g"], "tls": [rule]})
            self.assertEqual([path for _, path in found], ["spec.hosts[0]"])
