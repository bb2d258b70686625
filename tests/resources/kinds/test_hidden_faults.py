"""A value of the wrong type hides no fault of the fields beside it, in any kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.wording import path_text
from tests.reading import codes_of

Step = str | int

POLICY = {
    "connectionPool": {"http": {"useClientProtocol": True, "h2UpgradePolicy": "UPGRADE"}},
    "outlierDetection": {"consecutiveErrors": 1, "consecutiveLocalOriginFailures": 2},
    "loadBalancer": {
        "simple": "LEAST_CONN",
        "consistentHash": {
            "useSourceIp": True,
            "httpHeaderName": "user",
            "ringHash": {},
            "maglev": {"tableSize": 10},
            "minimumRingSize": 2,
        },
        "warmupDurationSecs": "1s",
        "warmup": {"duration": "1s"},
        "localityLbSetting": {
            "distribute": [
                {"from": "a//b", "to": {"c//d": 50, "*e": 50}},
                {"from": "f//g", "to": {"h//i": 100}},
            ],
            "failoverPriority": ["topology.kubernetes.io/zone", "other"],
            "failover": [{"from": "a/b", "to": "c*"}, {"from": "d", "to": "d"}],
        },
        "zoneAwareLbSetting": {"failover": [{"from": "a/b", "to": "c*"}, {"from": "d", "to": "d"}]},
    },
    "tls": {
        "mode": "SIMPLE",
        "insecureSkipVerify": True,
        "caCertificates": "ca.pem",
        "caCrl": "crl.pem",
        "subjectAltNames": ["a"],
        "credentialName": "configmap://far/away",
    },
}
MUTUAL = {"tls": {"mode": "MUTUAL", "insecureSkipVerify": True, "subjectAltNames": ["a"], "caCertificates": "ca.pem"}}
ROUTE = [{"destination": {"host": "app.example.com"}}, {"destination": {"host": "app.example.com"}}]
MATCH = {"sourceLabels": {"a b": "c", "d": "e f"}, "gateways": ["a_b", "ns/c_d", "ns.gw"], "sourceSubnet": "1.2"}
SNI = {"sniHosts": ["a_b.example.com", "c.example.org", "10.0.0.1", "outbound_x", "d.example.com."]}

DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    (
        "Gateway",
        {
            "servers": [
                {
                    "port": {"number": 443, "name": "a", "protocol": "TLS", "targetPort": 1},
                    "hosts": ["a.example.com.", "ns/b.example.com."],
                },
                {
                    "port": {"number": 443, "name": "a", "protocol": "TLS"},
                    "bind": "unix:///run/a",
                    "hosts": ["a.example.com."],
                    "tls": {
                        "mode": "MUTUAL",
                        "httpsRedirect": True,
                        "minProtocolVersion": "TLSV1_0",
                        "tlsCertificates": [{"privateKey": "k"}, {"serverCertificate": "k"}, {}],
                    },
                },
                {
                    "port": {"number": 443, "name": "b", "protocol": "HTTPS"},
                    "hosts": ["a.example.com."],
                    "tls": {
                        "mode": "SIMPLE",
                        "cipherSuites": ["X", "AES128-SHA", "AES128-SHA"],
                        "serverCertificate": "a",
                        "credentialNames": ["a", "b", "c"],
                        "credentialName": "d",
                        "caCrl": "crl",
                    },
                },
                {
                    "port": {"number": 444, "name": "c", "protocol": "TLS"},
                    "hosts": ["c.example.com"],
                    "tls": {"mode": "ISTIO_MUTUAL", "serverCertificate": "a", "privateKey": "b", "credentialName": "d"},
                },
                {
                    "port": {"number": 445, "name": "d", "protocol": "TLS"},
                    "hosts": ["c.example.com"],
                    "tls": {
                        "serverCertificate": "a",
                        "privateKey": "b",
                        "credentialName": "d",
                        "caCrl": "crl",
                    },
                },
                {"port": {"number": 446, "name": "e", "protocol": "TCP"}, "hosts": ["*"], "tls": {}},
                {"port": {"name": "f", "protocol": "HTTP"}, "hosts": ["*"], "tls": {"privateKey": "k"}},
            ]
        },
    ),
    (
        "VirtualService",
        {
            "hosts": ["*.example.com", "a.example.com", "a_b", "c.example.com."],
            "gateways": ["a_b", "ns/c_d", "ns.gw"],
            "exportTo": ["a_b", ".", "shop", "*", "~"],
            "tls": [
                {"match": [{**MATCH, **SNI}, {**MATCH, **SNI}], "route": ROUTE},
                {"match": [{**MATCH, **SNI}], "route": ROUTE},
            ],
            "tcp": [
                {"match": [MATCH, MATCH], "route": ROUTE},
                {"match": [MATCH], "route": ROUTE},
                {"route": ROUTE},
                {"route": ROUTE},
                {"match": [{"port": 1}], "route": ROUTE},
            ],
            "http": [{"match": [{"uri": {"prefix": "/"}}, {"uri": {"prefix": "/a"}}]}],
        },
    ),
    ("VirtualService", {"gateways": ["gw"], "tls": [{"match": [SNI], "route": ROUTE}], "tcp": [{"route": ROUTE}]}),
    ("VirtualService", {"hosts": ["*", "a_b", "outbound_.80_._.a.example.com"], "gateways": ["mesh"], "http": [{}]}),
    (
        "DestinationRule",
        {
            "host": "app",
            "trafficPolicy": {
                **POLICY,
                "tunnel": {"targetHost": "a_b", "targetPort": 1},
                "proxyProtocol": {},
                "portLevelSettings": [
                    {"port": {"number": 1}, **POLICY},
                    {"port": {"number": 2}},
                    {"port": {"number": 3}, **MUTUAL},
                ],
            },
            "subsets": [
                {"name": "v1", "labels": {"a b": "c"}, "trafficPolicy": MUTUAL},
                {"name": "v1", "labels": {"a": "b c"}, "trafficPolicy": {}},
                {"name": "v1", "trafficPolicy": {"connectionPool": {}}},
            ],
            "exportTo": ["far", "a_b", ".", "shop", "*"],
            "workloadSelector": {"matchLabels": {"a": "*", "*": "b"}},
        },
    ),
    (
        "ServiceEntry",
        {
            "hosts": ["*", "a*.example.com", "*.example.com"],
            "addresses": ["10.0.0.0/8", "10.1.0.0/16"],
            "ports": [
                {"number": 1, "name": "a", "protocol": "TCP"},
                {"number": 1, "name": "b"},
                {"number": 2, "name": "a", "protocol": "TCP"},
            ],
            "resolution": "DNS_ROUND_ROBIN",
            "workloadSelector": {"labels": {"a": "*", "*": "b"}},
            "exportTo": ["a_b", ".", "shop", "*", "~"],
        },
    ),
    (
        "ServiceEntry",
        {
            "hosts": ["a.example.com"],
            "ports": [{"number": 1, "name": "a"}, {"number": 2, "name": "b"}],
            "resolution": "STATIC",
            "workloadSelector": {},
            "endpoints": [
                {"network": "n", "ports": {"c": 1, "d e": 2}, "labels": {"a b": "c"}},
                {"address": "unix://a/", "ports": {"c": 1}, "labels": {"a": "b c"}},
                {"address": "app.example.com", "ports": {"a": 1}},
                {},
            ],
        },
    ),
    (
        "ServiceEntry",
        {
            "hosts": ["a.example.com", "b.example.com"],
            "addresses": ["10.0.0.1"],
            "ports": [{"number": 1, "name": "a"}, {"number": 2, "name": "b", "protocol": "TCP"}],
            "location": "MESH_INTERNAL",
            "resolution": "DYNAMIC_DNS",
            "endpoints": [{}],
        },
    ),
    (
        "ServiceEntry",
        {
            "hosts": ["a.example.com"],
            "ports": [{"number": 1, "name": "a"}, {"number": 2, "name": "b", "protocol": "TCP"}],
            "workloadSelector": {"labels": {"a": "b"}},
            "endpoints": [{"address": "10.0.0.1:80"}],
        },
    ),
    (
        "ServiceEntry",
        {
            "hosts": ["a.example.com"],
            "ports": [{"number": 1, "name": "a"}],
            "resolution": "DNS_ROUND_ROBIN",
            "endpoints": [{"address": "a_b"}, {"address": "unix:///a"}, {}],
        },
    ),
    ("WorkloadEntry", {"address": "unix://a/", "ports": {"a b": 1, "c": 2}, "labels": {"a b": "c", "d": "e f"}}),
    ("WorkloadEntry", {"address": "a_b", "ports": {"a b": 1}, "labels": {"a b": "c", "d": "e f"}}),
    ("WorkloadEntry", {"network": "n", "ports": {"a b": 1}, "labels": {"a b": "c"}}),
    ("Service", {"type": "ExternalName", "ports": [{"port": 1}, {"port": 2, "name": "a"}, {"port": 3, "name": "a"}]}),
]


def paths(value: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """The paths of everything within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield (*path, step)
        yield from paths(item, (*path, step))


def changed(document: dict[str, Any], path: tuple[Step, ...], *value: Any) -> dict[str, Any]:
    """A copy of a document with another value at a path, or none."""
    copied: dict[str, Any] = json.loads(json.dumps(document))
    parent: Any = copied
    for step in path[:-1]:
        parent = parent[step]
    if value:
        parent[path[-1]] = value[0]
    else:
        del parent[path[-1]]
    return copied


#: Fields by which a rule decides in every case, with the codes of what it reports elsewhere.
DECIDING = {
    ("gateways", "MG1021"),  # a name in the form of AUTO_PASSTHROUGH is only for gateways
    ("gateways", "MG1042"),
    ("match", "MG1051"),
    ("mode", "MG1035"),
    ("ports", "MG1093"),
    ("ringHash", "MG1066"),
}


class HiddenFaultTests(SynchronousTestCase):
    """One reading shows every fault."""

    def test_wrong_types_hide_no_fault_of_other_fields(self) -> None:
        """What is found with a field and without it is also found if its value has the wrong type."""
        hidden = []
        for kind, spec in DOCUMENTS:
            whole = codes_of(kind, spec)
            for path in (path for path in paths(spec) if isinstance(path[-1], str)):
                text = path_text(("spec", *path))
                expected = {
                    (where, code)
                    for where, code in whole & codes_of(kind, changed(spec, path))
                    if not (where.startswith(text) or text.startswith(where) or (path[-1], code) in DECIDING)
                }
                for wrong in (3, [3], {"x": [3]}):
                    broken = codes_of(kind, changed(spec, path, wrong))
                    if any(where.startswith(text) and code in ("MG1002", "MG1003", "MG1004") for where, code in broken):
                        hidden += [f"{kind}: {text}: {wrong} hides {each}" for each in sorted(expected - broken)]
        self.assertEqual(hidden, [])

    def test_metadata_hides_nothing_that_depends_on_labels(self) -> None:
        """Bad metadata does not keep the rules between labels and spec from being checked."""
        spec = {"hosts": ["a.example.com"], "ports": [{"number": 1, "name": "a"}]}
        for metadata in ({"annotations": 3}, {"creationTimestamp": "now"}):
            self.assertIn(("spec.ports[0]", "MG1090"), codes_of("ServiceEntry", spec, **metadata))

    def test_labels_of_which_some_are_wrong(self) -> None:
        """A selector whose labels have faults is not said to have none."""
        for kind, field, labels in (
            ("ServiceEntry", "workloadSelector", "labels"),
            ("DestinationRule", "workloadSelector", "matchLabels"),
        ):
            codes = {code for _, code in codes_of(kind, {field: {labels: {"app": 3}}})}
            self.assertNotIn("MG1079", codes)
