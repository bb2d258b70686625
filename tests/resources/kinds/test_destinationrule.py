"""DestinationRules: their fields, and the rules between them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.field_reference import find_entry
from meshgate.resources.kinds.destinationrule import ProxyProtocolVersion
from meshgate.resources.kinds.loadbalancer import LoadBalancing
from meshgate.resources.kinds.shared_fields import EXPORTED_TO_ALL
from meshgate.resources.kinds.tls import ClientTLSMode
from meshgate.resources.model import MAX_UINT32
from tests.reading import faults_of, problems_of, spec_of


def policy(**parts: Any) -> dict[str, Any]:
    """A rule with one traffic policy."""
    return {"host": "db", "trafficPolicy": parts}


def faults(spec: dict[str, Any]) -> list[str]:
    """The errors of a DestinationRule."""
    return faults_of("DestinationRule", spec)


class FieldTests(SynchronousTestCase):
    """The fields, and the units of their values."""

    def test_every_part_of_a_policy(self) -> None:
        """Durations are seconds, numbers are numbers, choices are choices."""
        spec = spec_of(
            "DestinationRule",
            {
                "host": "*.example.com",
                "exportTo": ["."],
                "workloadSelector": {"matchLabels": {"app": "front"}},
                "trafficPolicy": {
                    "loadBalancer": {
                        "consistentHash": {"useSourceIp": True, "ringHash": {"minimumRingSize": "64"}},
                        "localityLbSetting": {
                            "enabled": True,
                            "distribute": [{"from": "eu/*", "to": {"eu/a": 60, "eu/b": 40}}],
                        },
                    },
                    "connectionPool": {
                        "tcp": {
                            "maxConnections": 100,
                            "connectTimeout": "1m1.5s",
                            "idleTimeout": "0s",
                            "maxConnectionDuration": "24h",
                            "tcpKeepalive": {"probes": 3, "time": "10m", "interval": "500ms"},
                        },
                        "http": {"http1MaxPendingRequests": 1, "h2UpgradePolicy": "UPGRADE", "idleTimeout": "1s"},
                    },
                    "outlierDetection": {
                        "consecutive5xxErrors": 0,
                        "consecutiveGatewayErrors": 2,
                        "splitExternalLocalOriginErrors": True,
                        "consecutiveLocalOriginFailures": 4,
                        "interval": "2s",
                        "baseEjectionTime": "1m",
                        "maxEjectionPercent": 50,
                        "minHealthPercent": 20,
                    },
                    "tls": {"mode": "SIMPLE", "sni": "db", "subjectAltNames": ["db"], "caCertificates": "/ca"},
                    "proxyProtocol": {"version": "V2"},
                    "retryBudget": {"percent": 20, "minRetryConcurrency": 3},
                    "portLevelSettings": [{"port": {"number": 5432}, "loadBalancer": {"simple": "RANDOM"}}],
                },
                "subsets": [{"name": "v1", "labels": {"version": "v1"}}, {"name": "all"}],
            },
        )
        parts = spec.traffic_policy
        tcp = parts.connection_pool.tcp
        self.assertEqual((tcp.max_connections, tcp.connect_timeout), (100, 61.5))
        self.assertEqual((tcp.idle_timeout, tcp.max_connection_duration), (0.0, 86400.0))
        keepalive = tcp.tcp_keepalive
        self.assertEqual((keepalive.probes, keepalive.time, keepalive.interval), (3, 600.0, 0.5))
        outlier = parts.outlier_detection
        self.assertEqual((outlier.consecutive_5xx_errors, outlier.consecutive_local_origin_failures), (0, 4))
        self.assertEqual((outlier.interval, outlier.base_ejection_time), (2.0, 60.0))
        self.assertEqual((outlier.max_ejection_percent, outlier.min_health_percent), (50, 20))
        balancer = parts.load_balancer
        self.assertEqual(balancer.consistent_hash.ring_hash.minimum_ring_size, 64)
        self.assertEqual(balancer.locality_lb_setting.distribute[0].source, "eu/*")
        self.assertEqual(dict(balancer.locality_lb_setting.distribute[0].to), {"eu/a": 60, "eu/b": 40})
        self.assertIs(parts.tls.mode, ClientTLSMode.SIMPLE)
        self.assertIs(parts.proxy_protocol.version, ProxyProtocolVersion.V2)
        self.assertEqual(parts.port_level_settings[0].port.number, 5432)
        self.assertEqual([dict(subset.labels) for subset in spec.subsets], [{"version": "v1"}, {}])
        self.assertEqual(spec.export_to, (".",))

    def test_what_is_not_said_has_its_default(self) -> None:
        """The defaults are those of Envoy and of the mesh."""
        spec = spec_of("DestinationRule", policy(connectionPool={"tcp": {}}, outlierDetection={}, tls={}))
        tcp, outlier = spec.traffic_policy.connection_pool.tcp, spec.traffic_policy.outlier_detection
        self.assertEqual((tcp.max_connections, tcp.connect_timeout), (MAX_UINT32, 10.0))
        self.assertEqual((tcp.idle_timeout, tcp.max_connection_duration, tcp.tcp_keepalive), (None, None, None))
        self.assertEqual((outlier.consecutive_5xx_errors, outlier.consecutive_gateway_errors), (5, 0))
        self.assertEqual((outlier.interval, outlier.base_ejection_time), (10.0, 30.0))
        self.assertEqual((outlier.max_ejection_percent, outlier.min_health_percent), (10, 0))
        self.assertIs(spec.traffic_policy.tls.mode, ClientTLSMode.DISABLE)
        self.assertEqual((spec.subsets, spec.export_to), ((), EXPORTED_TO_ALL))

    def test_zero_is_as_good_as_unset(self) -> None:
        """Protobuf cannot distinguish 0 from unset in some fields, where the default counts."""
        spec = spec_of(
            "DestinationRule",
            policy(connectionPool={"tcp": {"maxConnections": 0}}, outlierDetection={"maxEjectionPercent": 0}),
        )
        self.assertEqual(spec.traffic_policy.connection_pool.tcp.max_connections, MAX_UINT32)
        self.assertEqual(spec.traffic_policy.outlier_detection.max_ejection_percent, 10)

    def test_choices_go_by_number_too(self) -> None:
        """As protobuf's JSON form has it; a number that none has is refused."""
        spec = spec_of("DestinationRule", policy(loadBalancer={"simple": 4}, proxyProtocol={"version": 1}))
        self.assertIs(spec.traffic_policy.load_balancer.simple, LoadBalancing.ROUND_ROBIN)
        self.assertIs(spec.traffic_policy.proxy_protocol.version, ProxyProtocolVersion.V2)
        for number in (-1, 6, "4", True):
            self.assertEqual(
                faults(policy(loadBalancer={"simple": number})), ["MG1004 trafficPolicy.loadBalancer.simple"], number
            )

    def test_the_reference_says_how_durations_are_written(self) -> None:
        """Though they are kept as seconds."""
        entry = find_entry("DestinationRule.spec.trafficPolicy.connectionPool.tcp.connectTimeout")
        self.assertEqual((entry.type, entry.default), ("duration", ""))

    def test_names_of_protobuf_are_taken(self) -> None:
        """With a warning, since the API server drops them."""
        spec = policy(outlierDetection={"consecutive_5xx_errors": 2, "min_health_percent": 5})
        found = [(problem.code, problem.hint) for problem in problems_of("DestinationRule", spec)]
        self.assertEqual(found, [("MG1007", "write consecutive5xxErrors"), ("MG1007", "write minHealthPercent")])

    def test_null_is_as_good_as_absent(self) -> None:
        """At any depth."""
        spec = spec_of("DestinationRule", policy(loadBalancer={"localityLbSetting": None}, tunnel=None))
        self.assertIsNone(spec.traffic_policy.load_balancer.locality_lb_setting)
        self.assertIsNone(spec.traffic_policy.tunnel)


class RuleTests(SynchronousTestCase):
    """The rules between the fields, where the tables of texts do not say it all."""

    def test_all_faults_at_once(self) -> None:
        """Faults of fields and of rules are found together, in the order in which they stand."""
        spec = {
            "host": "db_1",
            "trafficPolicy": {
                "loadBalancer": {"simple": "FASTEST"},
                "connectionPool": {},
                "tls": {"mode": "MUTUAL", "privateKey": 5},
            },
            "subsets": [{"name": "v1"}, {"name": "v.2"}, {"name": "v1", "trafficPolicy": {}}],
        }
        self.assertEqual(
            faults(spec),
            [
                "MG1003 trafficPolicy.tls.privateKey",
                "MG1004 trafficPolicy.loadBalancer.simple",
                "MG1009 subsets[2].name",
                "MG1020 subsets[1].name",
                "MG1021 host",
                "MG1062 subsets[2].trafficPolicy",
                "MG1062 trafficPolicy.connectionPool",
                "MG1076 trafficPolicy.tls.clientCertificate",
            ],
        )

    def test_what_cannot_be_judged_is_not(self) -> None:
        """A rule is silent where a field that it depends on has a fault of its own."""
        field = "MG1003 trafficPolicy"
        self.assertEqual(faults({"host": "db", "trafficPolicy": "fast"}), [field])
        self.assertEqual(faults(policy(connectionPool={"tcp": "fast"})), [f"{field}.connectionPool.tcp"])
        self.assertEqual(faults(policy(tunnel=[], proxyProtocol={})), [f"{field}.tunnel"])
        self.assertEqual(
            faults(policy(outlierDetection={"splitExternalLocalOriginErrors": 1, "consecutiveLocalOriginFailures": 2})),
            [f"{field}.outlierDetection.splitExternalLocalOriginErrors"],
        )
        self.assertEqual(
            faults(policy(tls={"mode": "FOO", "insecureSkipVerify": True, "caCertificates": "/ca"})),
            ["MG1004 trafficPolicy.tls.mode"],
        )
        self.assertEqual(
            faults(policy(loadBalancer={"localityLbSetting": {"distribute": [{"from": "eu", "to": {"eu": "all"}}]}})),
            ["MG1003 trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to.eu"],
        )

    def test_a_policy_for_a_port_is_judged_like_any(self) -> None:
        """Its port is required, and its parts have the same rules."""
        settings = [
            {"port": {"number": 1}, "connectionPool": {}},
            {"loadBalancer": {"simple": "RANDOM"}},
            {"port": {"number": 2}, "tunnel": {}},
        ]
        self.assertEqual(
            faults(policy(portLevelSettings=settings)),
            [
                "MG1001 trafficPolicy.portLevelSettings[2].tunnel",
                "MG1002 trafficPolicy.portLevelSettings[1].port",
                "MG1062 trafficPolicy.portLevelSettings[0].connectionPool",
                "MG1062 trafficPolicy.portLevelSettings[2]",
            ],
        )

    def test_certificates_are_used_in_two_modes_only(self) -> None:
        """Certificates are not checked where there is no TLS, or the mesh's own."""
        for mode in ("DISABLE", "ISTIO_MUTUAL"):
            tls = {"mode": mode, "insecureSkipVerify": True, "caCertificates": "/ca", "credentialName": "db"}
            self.assertEqual(faults(policy(tls=tls)), [], mode)

    def test_a_secret_holds_all_that_mutual_tls_needs(self) -> None:
        """Also when nothing is verified, for which a secret is refused in the mode SIMPLE only."""
        tls = {"credentialName": "db", "insecureSkipVerify": True}
        self.assertEqual(faults(policy(tls={"mode": "MUTUAL", **tls})), [])
        self.assertEqual(faults(policy(tls={"mode": "SIMPLE", **tls})), ["MG1074 trafficPolicy.tls.credentialName"])

    def test_a_config_map_of_the_own_namespace(self) -> None:
        """A ConfigMap can be named with its namespace or without."""
        for name in ("configmap://shop/ca", "configmap://ca", "other/ca"):
            self.assertEqual(faults(policy(tls={"mode": "SIMPLE", "credentialName": name})), [], name)

    def test_a_rule_for_some_workloads_stays_at_home(self) -> None:
        """It may say so, by a dot or by name, or say nothing, but nothing else."""
        spec = {"host": "db", "workloadSelector": {"matchLabels": {"app": "front"}}}
        for export_to in (None, [], ["."], ["shop"]):
            self.assertEqual(faults({**spec, "exportTo": export_to}), [], export_to)
        self.assertEqual(faults({**spec, "exportTo": ["*"]}), ["MG1081 exportTo[0]"])
        self.assertEqual(faults({**spec, "exportTo": [".", "other"]}), ["MG1081 exportTo[1]"])

    def test_nobody_is_no_place_to_export_to(self) -> None:
        """The tilde is for ServiceEntries."""
        self.assertEqual(faults({"host": "db", "exportTo": ["~"]}), ["MG1046 exportTo[0]"])

    def test_a_slow_start_needs_a_duration(self) -> None:
        """Its share and aggression have bounds."""
        self.assertEqual(
            faults(policy(loadBalancer={"warmup": {}})), ["MG1002 trafficPolicy.loadBalancer.warmup.duration"]
        )
        for field, value in (("minimumPercent", 101), ("aggression", 0)):
            spec = policy(loadBalancer={"warmup": {"duration": "1s", field: value}})
            self.assertEqual(faults(spec), [f"MG1005 trafficPolicy.loadBalancer.warmup.{field}"])
        self.assertEqual(faults(policy(loadBalancer={"warmup": {"duration": "1s", "aggression": 1.5}})), [])

    def test_a_tunnel_has_an_end(self) -> None:
        """A name or an address, a port, and one of two ways to open it."""
        for host in ("db.example.com", "10.0.0.1", "2001:db8::1"):
            self.assertEqual(faults(policy(tunnel={"targetHost": host, "targetPort": 443, "protocol": "POST"})), [])
        self.assertEqual(
            faults(policy(tunnel={"targetPort": 0, "protocol": "connect"})),
            [
                "MG1002 trafficPolicy.tunnel.targetHost",
                "MG1004 trafficPolicy.tunnel.protocol",
                "MG1005 trafficPolicy.tunnel.targetPort",
            ],
        )

    def test_a_document_without_faults_has_no_warnings(self) -> None:
        """Nothing is said of a plain rule."""
        spec = {**policy(loadBalancer={"simple": "ROUND_ROBIN"}), "subsets": [{"name": "v1", "labels": {"v": "1"}}]}
        self.assertEqual(problems_of("DestinationRule", spec), [])
