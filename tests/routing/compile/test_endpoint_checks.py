"""Tests of :mod:`meshgate.routing.compile.traffic_policies`: whose check counts for a destination."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.health_check import (
    ANNOTATION,
    HealthCheckForm,
    annotation_faults,
    checks_in,
    form_faults,
)
from meshgate.resources.reader import read_text
from meshgate.resources.yaml.document import parse_documents
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.connection_policy import HealthCheck, UpstreamPolicy
from meshgate.routing.table import ListenerKey
from meshgate.routing.tell.policy_texts import upstream_json, upstream_text
from meshgate.settings.schema import SettingsFile
from tests.configurations import (
    PROXY,
    Document,
    compiled,
    destination_rule,
    gateway,
    service,
    target,
    tcp_server,
    virtual_service,
)

HOST = "db.default.svc.cluster.local"


def annotated(made: Document, text: str) -> Document:
    """A resource with the annotation."""
    made["metadata"]["annotations"] = {ANNOTATION: text}
    return made


def db(check: str | None = None) -> Document:
    """The Service."""
    made = service("db", {"port": 80, "name": "tcp"}, {"port": 81, "name": "tcp-2"}, selector={"app": "db"})
    return made if check is None else annotated(made, check)


def routed(*documents: Document, proxy: Proxy = PROXY, port: int = 80) -> Compilation:
    """Compile a rule that leads to the Service."""
    virtual = virtual_service("v", tcp=[{"route": [target("db", port)]}])
    return compiled(gateway("gw", tcp_server(9000)), virtual, *documents, proxy=proxy)


def policy(*documents: Document, **rest: Any) -> UpstreamPolicy:
    """The policy of the one destination."""
    chain = routed(*documents, **rest).table.listeners[ListenerKey("0.0.0.0", 9000)].catch_all
    assert chain is not None
    return chain.destinations[0].policy


def interval(*documents: Document, **rest: Any) -> float | None:
    """The interval of the check that counts."""
    check = policy(*documents, **rest).check
    return None if check is None else check.interval


class SourceTests(SynchronousTestCase):
    """The annotations and the settings."""

    def test_the_nearest_counts(self) -> None:
        """The DestinationRule before the Service, the Service before the settings, a host before a wildcard."""
        settings = replace(PROXY, checks={HOST: checks("{interval: 3s}"), "*.local": checks("{interval: 4s}")})
        rule = annotated(destination_rule("d", "db"), "{interval: 1s}")
        self.assertIsNone(interval(db()))
        self.assertEqual(interval(db("{interval: 2s}"), rule, proxy=settings), 1)
        self.assertEqual(interval(db("{interval: 2s}"), destination_rule("d", "db"), proxy=settings), 2)
        self.assertEqual(interval(db(), proxy=settings), 3)
        self.assertEqual(interval(db(), proxy=replace(PROXY, checks={"*.local": checks("{interval: 4s}")})), 4)
        self.assertIsNone(interval(db(), proxy=replace(PROXY, checks={"*.org": checks("{}")})))

    def test_ports_of_the_service(self) -> None:
        """A check may be for some ports alone, and there may be one for each."""
        several = "[{interval: 1s, service_ports: [80]}, {interval: 2s, service_ports: [81, 82]}]"
        self.assertEqual([interval(db(several), port=port) for port in (80, 81)], [1, 2])
        self.assertIsNone(interval(db("{service_ports: [81]}")))

    def test_a_policy_keeps_its_other_sections(self) -> None:
        """The check is one more, and named as such."""
        rule = annotated(
            destination_rule("d", "db", trafficPolicy={"connectionPool": {"tcp": {"maxConnections": 7}}}),
            "{protocol: tls}",
        )
        found = policy(db(), rule)
        self.assertEqual((found.max_connections, found.check), (7, HealthCheck(protocol="tls")))
        self.assertIn(f"DestinationRule default/d {ANNOTATION}", found.origin)
        self.assertEqual(policy(db("{}")).origin, f"Service default/db {ANNOTATION}")

    def test_settings_that_change(self) -> None:
        """A reload of the settings that changes a check changes the policy, and nothing else of the table."""
        one, other = (policy(db(), proxy=replace(PROXY, checks={HOST: checks(text)})) for text in ("{}", "{fall: 7}"))
        self.assertEqual(replace(one, check=other.check), other)
        self.assertNotEqual(one, other)


class FormTests(SynchronousTestCase):
    """What can be written."""

    def test_every_key(self) -> None:
        """Each of them counts."""
        text = """
        protocol: https
        port: 8443
        name: a.example.com
        path: /up
        status: 200
        interval: 5s
        jitter: 0
        timeout: 500ms
        rise: 1
        fall: 4
        on_unhealthy: end
        panic_threshold: 40
        """
        self.assertEqual(
            policy(db(text)).check,
            HealthCheck(
                "https", 8443, "a.example.com", "/up", (200, 200), b"", b"", 5.0, 0, 0.5, 1, 4, ends=True, panic=40
            ),
        )
        sending = policy(db('{send: "hex:00ff", expect: "+PONG", status: 200-399}')).check
        assert sending is not None
        self.assertEqual((sending.send, sending.expect, sending.status), (b"\x00\xff", b"+PONG", (200, 399)))

    def test_keys_without_a_meaning(self) -> None:
        """Those that the protocol does not know are a fault, unless they say what holds anyway."""
        for text, said in [
            ("{protocol: http, send: x}", "send has no meaning with the protocol http"),
            ("{path: /x, status: 200}", "path and status have no meaning with the protocol tcp"),
            ("{name: a.example.com}", "name has no meaning with the protocol tcp"),
        ]:
            problems = [each for each in read(text) if each]
            self.assertEqual(problems, [said])
        self.assertEqual(read("{protocol: tcp, path: /, send: x}"), [])

    def test_texts(self) -> None:
        """People are told what is checked and what follows; programs get plain values."""
        found = policy(db("{protocol: https, path: /up, name: a.example.com, port: 8443, on_unhealthy: end}"))
        self.assertIn(
            "checked by GET /up over TLS to port 8443 as a.example.com every 10s; unhealthy after 3 failures in a row, "
            "which ends its connections",
            upstream_text(found),
        )
        values = upstream_json(policy(db('{send: "hex:00ff"}')))["check"]
        self.assertEqual((values["protocol"], values["send"]), ("tcp", "\x00\\xff"))


def checks(text: str) -> tuple[HealthCheckForm, ...]:
    """The checks of a text."""
    return checks_in({ANNOTATION: text})


def read(text: str) -> list[str]:
    """The messages of the faults between the keys of a text."""
    form = HealthCheckForm.model_validate(parse_documents(text)[0].value)
    return [each.message for each in form_faults(form)]


class PageTests(SynchronousTestCase):
    """The examples of ``docs/howto/health.rst``."""

    def test_each_can_be_used(self) -> None:
        """The resource is valid with its check, so are the values of the annotation, and the settings."""
        page = (Path(__file__).parents[3] / "docs" / "howto" / "health.rst").read_text()
        blocks = re.findall(r"(?m)^\.\. code-block:: yaml\n\n((?:    .*\n|\n)+)", page)
        resource, values, settings = map(textwrap.dedent, blocks)
        reading = read_text(resource, "a.yaml")
        self.assertEqual(reading.all_problems, ())
        (check,) = checks_in(reading.resources[0].annotations)
        self.assertEqual((check.send, check.interval), ("PING\r\n", 5))
        for text in values.split("---\n"):
            self.assertEqual(list(annotation_faults({ANNOTATION: text})), [], text)
        content = SettingsFile.model_validate(parse_documents(settings)[0].value)
        self.assertEqual(list(content.health.checks_by_host("default", "cluster.local")), ["*.example.com"])
