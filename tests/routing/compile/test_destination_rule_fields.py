"""Every field of a DestinationRule is honoured, which a test shows, or a problem says that it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.destinationrule import DestinationRuleSpec
from meshgate.resources.latest import latest
from meshgate.resources.model import Model
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from tests.configurations import (
    PROXY,
    Document,
    destination_rule,
    gateway,
    service,
    tcp_rule,
    tcp_server,
    virtual_service,
    workload,
)

TABLE: Final = Path(__file__).parents[3] / "docs" / "reference" / "traffic-policies.rst"
ROW: Final = re.compile(r"   \* - ``([\w.]+)``\n     - (honoured|.*\(``(MG\d+)``\))\n")

SHOWN_BY: Final[Mapping[str, Sequence[str]]] = {
    "routing.compile.test_destination_rules.ChoiceTests.test_most_specific_host": ("host",),
    "routing.compile.test_traffic_policies.UpstreamTests.test_ways_of_choosing": (
        "trafficPolicy.loadBalancer.simple",
        "trafficPolicy.loadBalancer.consistentHash.ringHash.minimumRingSize",
        "trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
        "trafficPolicy.loadBalancer.consistentHash.minimumRingSize",
    ),
    "routing.compile.test_traffic_policies.ConnectionTests.test_whose_address_is_hashed": (
        "trafficPolicy.loadBalancer.consistentHash.useSourceIp",
    ),
    "routing.compile.test_preference.DistributeTests.test_percentages": (
        "trafficPolicy.loadBalancer.localityLbSetting.distribute.from",
        "trafficPolicy.loadBalancer.localityLbSetting.distribute.to",
    ),
    "routing.compile.test_preference.FailoverTests.test_a_region_that_takes_over": (
        "trafficPolicy.loadBalancer.localityLbSetting.failover.from",
        "trafficPolicy.loadBalancer.localityLbSetting.failover.to",
    ),
    "routing.compile.test_preference.LabelTests.test_the_first_label_that_differs": (
        "trafficPolicy.loadBalancer.localityLbSetting.failoverPriority",
    ),
    "routing.compile.test_destinations.NearnessTests.test_with_outlier_detection": (
        "trafficPolicy.loadBalancer.localityLbSetting.enabled",
    ),
    "proxy.test_clusters.LocalityTests.test_a_new_endpoint_warms_up": (
        "trafficPolicy.loadBalancer.warmupDurationSecs",
        "trafficPolicy.loadBalancer.warmup.duration",
        "trafficPolicy.loadBalancer.warmup.minimumPercent",
        "trafficPolicy.loadBalancer.warmup.aggression",
    ),
    "routing.compile.test_traffic_policies.UpstreamTests.test_every_field": (
        "trafficPolicy.connectionPool.tcp.maxConnections",
        "trafficPolicy.connectionPool.tcp.connectTimeout",
        "trafficPolicy.connectionPool.tcp.tcpKeepalive.probes",
        "trafficPolicy.connectionPool.tcp.tcpKeepalive.time",
        "trafficPolicy.connectionPool.tcp.tcpKeepalive.interval",
    ),
    "routing.compile.test_traffic_policies.ConnectionTests.test_times_of_the_whole_rule": (
        "trafficPolicy.connectionPool.tcp.maxConnectionDuration",
        "trafficPolicy.connectionPool.tcp.idleTimeout",
    ),
    "routing.compile.test_traffic_policies.OutlierTests.test_failures_that_count": (
        "trafficPolicy.outlierDetection.splitExternalLocalOriginErrors",
        "trafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
        "trafficPolicy.outlierDetection.consecutiveGatewayErrors",
        "trafficPolicy.outlierDetection.consecutive5xxErrors",
    ),
    "routing.compile.test_traffic_policies.OutlierTests.test_times_and_shares": (
        "trafficPolicy.outlierDetection.interval",
        "trafficPolicy.outlierDetection.baseEjectionTime",
        "trafficPolicy.outlierDetection.maxEjectionPercent",
    ),
    "routing.test_preferred_endpoints.LevelTests.test_as_envoy_counts": (
        "trafficPolicy.outlierDetection.minHealthPercent",
    ),
    "routing.compile.test_destinations.PolicyTests.test_tls_to_the_endpoint_is_never_left_out": (
        "trafficPolicy.tls.mode",
    ),
    "routing.compile.test_traffic_policies.MergeTests.test_against_the_rule_in_words": (
        "trafficPolicy.portLevelSettings",
        "subsets.trafficPolicy",
    ),
    "routing.compile.test_gateway_annotations.SentTests.test_versions_and_fields": (
        "trafficPolicy.proxyProtocol.version",
    ),
    "routing.compile.test_destinations.SubsetTests.test_unknown_subset": ("subsets.name",),
    "routing.compile.test_destinations.SubsetTests.test_labels_of_workload_entries": ("subsets.labels",),
    "routing.compile.test_destination_rules.ChoiceTests.test_export_to": ("exportTo",),
    "routing.compile.test_destination_rules.ChoiceTests.test_workload_selector": ("workloadSelector.matchLabels",),
}
"""Tests of the fields that are honoured, by the name of the test."""

REPEATED: Final = ("subsets.trafficPolicy", "trafficPolicy.portLevelSettings")
"""Fields that have the fields of another one."""

TLS: Final = {"mode": "SIMPLE"}
SAMPLES: Final[Mapping[str, Document]] = {
    "httpHeaderName": {"loadBalancer": {"consistentHash": {"httpHeaderName": "x"}}},
    "httpCookie": {"loadBalancer": {"consistentHash": {"httpCookie": {"name": "x", "path": "/", "ttl": "1s"}}}},
    "httpQueryParameterName": {"loadBalancer": {"consistentHash": {"httpQueryParameterName": "x"}}},
    "zoneAwareLbSetting.failoverPriority": {
        "outlierDetection": {},
        "loadBalancer": {"zoneAwareLbSetting": {"failoverPriority": ["a"]}},
    },
    "zoneAwareLbSetting.failover": {
        "outlierDetection": {},
        "loadBalancer": {"zoneAwareLbSetting": {"failover": [{"from": "a", "to": "b"}]}},
    },
    "zoneAwareLbSetting.enabled": {"loadBalancer": {"zoneAwareLbSetting": {"enabled": True}}},
    "zoneAwareLbSetting.minClusterSize": {"loadBalancer": {"zoneAwareLbSetting": {"minClusterSize": 2}}},
    "http.idleTimeout": {"connectionPool": {"http": {"idleTimeout": "5s"}}},
    "http.h2UpgradePolicy": {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}},
    "http.useClientProtocol": {"connectionPool": {"http": {"useClientProtocol": True}}},
    **{
        f"http.{field}": {"connectionPool": {"http": {field: 1}}}
        for field in (
            "http1MaxPendingRequests",
            "http2MaxRequests",
            "maxRequestsPerConnection",
            "maxRetries",
            "maxConcurrentStreams",
        )
    },
    "consecutiveErrors": {"outlierDetection": {"consecutiveErrors": 3}},
    "tls.clientCertificate": {"tls": {"mode": "MUTUAL", "clientCertificate": "/c", "privateKey": "/k"}},
    "tls.privateKey": {"tls": {"mode": "MUTUAL", "clientCertificate": "/c", "privateKey": "/k"}},
    "tls.caCertificates": {"tls": {**TLS, "caCertificates": "/ca"}},
    "tls.caCrl": {"tls": {**TLS, "caCrl": "/crl"}},
    "tls.credentialName": {"tls": {**TLS, "credentialName": "c"}},
    "tls.subjectAltNames": {"tls": {**TLS, "subjectAltNames": ["a.example.com"]}},
    "tls.sni": {"tls": {**TLS, "sni": "a.example.com"}},
    "tls.insecureSkipVerify": {"tls": {**TLS, "insecureSkipVerify": True}},
    "tunnel": {"tunnel": {"protocol": "CONNECT", "targetHost": "a.example.com", "targetPort": 443}},
    "retryBudget": {"retryBudget": {"percent": 20, "minRetryConcurrency": 3}},
}
"""A policy with each field that has no effect, by a part of the field's path."""


def fields(model: type[Model], before: str = "") -> Iterator[str]:
    """The paths of all fields that have no fields themselves."""
    for name, field in model.model_fields.items():
        path = f"{before}{field.alias or name}"
        inner = _model_in(field.annotation)
        if inner is None or path in REPEATED:
            yield path
        else:
            yield from fields(inner, f"{path}.")


def _model_in(annotation: Any) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def codes_of(policy: Document) -> set[str]:
    """The codes of all problems of a route to a host with a traffic policy."""
    documents = [
        gateway("gw", tcp_server(9000)),
        virtual_service("v", tcp=[tcp_rule("db")]),
        service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}),
        workload("w", "10.0.0.1", {"app": "db"}),
        destination_rule("d", "db", trafficPolicy=policy),
    ]
    reading = read_text("\n---\n".join(map(json.dumps, documents)), "routes.yaml")
    winners, _ = latest(reading.resources)
    return {problem.code for problem in (*reading.all_problems, *compile_table(winners, PROXY).problems)}


class FieldTests(SynchronousTestCase):
    """The table of the documentation."""

    def setUp(self) -> None:
        """Read the table."""
        text = TABLE.read_text().partition("\nEvery field\n")[2]
        self.rows = {field: code for field, _, code in ROW.findall(text)}

    def test_it_has_every_field(self) -> None:
        """A field that the model gets needs a row."""
        self.assertEqual(list(self.rows), list(fields(DestinationRuleSpec)))

    def test_what_is_honoured_is_tested(self) -> None:
        """Each field that is honoured names a test that there is."""
        honoured = [field for field, code in self.rows.items() if not code]
        self.assertEqual(sorted(honoured), sorted(field for shown in SHOWN_BY.values() for field in shown))
        for name in SHOWN_BY:
            self.assertTrue(callable(namedAny(f"tests.{name}")), name)

    def test_what_is_not_honoured_is_said(self) -> None:
        """Each other field has a policy that is valid with it, and for which its problem is reported."""
        for field, code in self.rows.items():
            if code:
                policy = next((each for path, each in SAMPLES.items() if path in field), None)
                self.assertIsNotNone(policy, field)
                self.assertIn(code, codes_of(policy or {}), field)
