"""Instances of values that have faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.fault import Fault, chain_rules, duplicate_faults
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.tls import TLSMode
from meshgate.resources.kinds.virtualservice import VirtualServiceSpec
from meshgate.resources.partial import BROKEN, BrokenValueError, partial_instance, sound_items
from meshgate.resources.problem import Origin, Severity
from meshgate.resources.reader import read_document
from meshgate.resources.validation import validate, validate_partially
from tests.configurations import document


def partial(model: type, value: Any) -> Any:
    """The instance of a value for the rules."""
    return validate_partially(model, value, (), Severity.ERROR)[1]


class BrokenTests(SynchronousTestCase):
    """The stand-in for a faulty value."""

    def test_nothing_can_be_said_of_it(self) -> None:
        """Every use that decides by a broken value, or shows it, raises an error."""
        for look in (
            lambda: bool(BROKEN),
            lambda: BROKEN == 1,
            lambda: "a" in ("b", BROKEN),
            lambda: BROKEN in {"a"},
            lambda: [*BROKEN],
            lambda: len(BROKEN),
            lambda: BROKEN < 1,
            lambda: f"{BROKEN}",
            lambda: BROKEN.startswith("a"),
            lambda: BROKEN[0],
        ):
            self.assertRaises(BrokenValueError, look)

    def test_its_fields_are_broken(self) -> None:
        """Looking for a value within it is no harm yet."""
        self.assertIs(BROKEN.port.number, BROKEN)

    def test_sound_items_keep_their_indexes(self) -> None:
        """The broken ones are passed over, not closed up."""
        self.assertEqual(list(sound_items(["a", BROKEN, "c"])), [(0, "a"), (2, "c")])

    def test_rules_end_at_a_broken_value(self) -> None:
        """Faults that a rule has found before count, and so do those of other rules."""

        def rule(name: str, value: Any) -> Iterator[Fault]:
            yield Fault((name,), "MG1006", "before")
            if value:
                yield Fault((name,), "MG1006", "after")

        found = [(fault.path[0], fault.message) for fault in chain_rules(rule("a", BROKEN), rule("b", 1))]
        self.assertEqual(found, [("a", "before"), ("b", "before"), ("b", "after")])

    def test_repetitions_are_found_among_the_sound(self) -> None:
        """A broken name repeats no other."""
        found = [fault.path for fault in duplicate_faults(["a", BROKEN, "a"], ("ports",), ("name",), "port")]
        self.assertEqual(found, [("ports", 2, "name")])


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
