"""The exact texts of the problems of DestinationRules: code, smallest document, text."""

from __future__ import annotations

from typing import Final

DESTINATION_RULE: Final = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec:
  host: db
"""

CASES: Final[list[tuple[str, str, str]]] = [
    (
        "MG1061",
        DESTINATION_RULE + "  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 500us}}}\n",
        "routes.yaml:6:58: error[MG1061]: DestinationRule shop/d: "
        'spec.trafficPolicy.connectionPool.tcp.connectTimeout: the duration "500us" is shorter than a '
        "millisecond (1ms is the shortest)",
    ),
    (
        "MG1061",
        DESTINATION_RULE + "  trafficPolicy: {outlierDetection: {interval: 1.0005s}}\n",
        "routes.yaml:6:48: error[MG1061]: DestinationRule shop/d: spec.trafficPolicy.outlierDetection.interval: "
        'the duration "1.0005s" is not a whole number of milliseconds (write "1.001s")',
    ),
    (
        "MG1062",
        DESTINATION_RULE + "  trafficPolicy: {}\n",
        "routes.yaml:6:18: error[MG1062]: DestinationRule shop/d: spec.trafficPolicy: the traffic policy says "
        "nothing (write a setting, or leave it out)",
    ),
    (
        "MG1062",
        DESTINATION_RULE + "  trafficPolicy: {connectionPool: {}}\n",
        "routes.yaml:6:35: error[MG1062]: DestinationRule shop/d: spec.trafficPolicy.connectionPool: the "
        "connection pool says nothing (write a setting, or leave it out)",
    ),
    (
        "MG1062",
        DESTINATION_RULE + "  trafficPolicy: {portLevelSettings: [{port: {number: 5432}}]}\n",
        "routes.yaml:6:39: error[MG1062]: DestinationRule shop/d: spec.trafficPolicy.portLevelSettings[0]: the "
        "policy for a port says nothing (write a setting, or leave it out)",
    ),
    (
        "MG1063",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    tunnel: {targetHost: db.example.com, targetPort: 5432}\n"
        "    proxyProtocol: {version: V2}\n",
        "routes.yaml:8:5: error[MG1063]: DestinationRule shop/d: spec.trafficPolicy.proxyProtocol: tunnel and "
        "proxyProtocol exclude each other (leave one of them out)",
    ),
    (
        "MG1064",
        DESTINATION_RULE + "  trafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 3}}\n",
        "routes.yaml:6:38: error[MG1064]: DestinationRule shop/d: "
        "spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures: consecutiveLocalOriginFailures "
        "needs splitExternalLocalOriginErrors (write splitExternalLocalOriginErrors: true beside it)",
    ),
    (
        "MG1065",
        DESTINATION_RULE + "  trafficPolicy: {outlierDetection: {consecutiveErrors: 3}}\n",
        "routes.yaml:6:38: warning[MG1065]: DestinationRule shop/d: "
        "spec.trafficPolicy.outlierDetection.consecutiveErrors: consecutiveErrors is deprecated (write "
        "consecutive5xxErrors or consecutiveGatewayErrors)",
    ),
    (
        "MG1065",
        DESTINATION_RULE + "  trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}\n",
        "routes.yaml:6:42: warning[MG1065]: DestinationRule shop/d: spec.trafficPolicy.loadBalancer.simple: "
        "LEAST_CONN is deprecated (write LEAST_REQUEST, which is the same)",
    ),
    (
        "MG1065",
        DESTINATION_RULE + "  trafficPolicy: {loadBalancer: {warmupDurationSecs: 30s}}\n",
        "routes.yaml:6:34: warning[MG1065]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.warmupDurationSecs: warmupDurationSecs is deprecated (write warmup: "
        "{duration: …})",
    ),
    (
        "MG1065",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 64}}\n",
        "routes.yaml:7:56: warning[MG1065]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.consistentHash.minimumRingSize: minimumRingSize is deprecated (write "
        "ringHash: {minimumRingSize: …})",
    ),
    (
        "MG1066",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 64, maglev: {tableSize: 7}}}\n",
        "routes.yaml:7:56: error[MG1066]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.consistentHash.minimumRingSize: minimumRingSize and maglev exclude "
        "each other (leave minimumRingSize out)",
    ),
    (
        "MG1067",
        DESTINATION_RULE + "  trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}}\n",
        "routes.yaml:6:78: error[MG1067]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: maglev needs a tableSize (65537 is "
        "usual)",
    ),
    (
        "MG1067",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 9999999}}}\n",
        "routes.yaml:7:76: error[MG1067]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: the table's size 9999999 is out of "
        "range (a prime below 5000011, such as 65537)",
    ),
    (
        "MG1067",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}\n",
        "routes.yaml:7:76: error[MG1067]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: the table's size 100 is not a prime "
        "number (97 is one)",
    ),
    (
        "MG1068",
        DESTINATION_RULE + "  trafficPolicy: {loadBalancer: {simple: RANDOM, warmup: {duration: 30s}}}\n",
        "routes.yaml:6:50: warning[MG1068]: DestinationRule shop/d: spec.trafficPolicy.loadBalancer.warmup: "
        "warmup has no effect with RANDOM (it is for ROUND_ROBIN and LEAST_REQUEST)",
    ),
    (
        "MG1069",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {localityLbSetting: {distribute: [{from: 'eu/*/1', to: {eu: 100}}]}}\n",
        "routes.yaml:7:60: error[MG1069]: DestinationRule shop/d: "
        'spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].from: the locality "eu/*/1" has a '
        "wildcard before its end (write region/zone/* or the like)",
    ),
    (
        "MG1069",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {localityLbSetting: {distribute: [{from: 'eu//1', to: {eu: 100}}]}}\n",
        "routes.yaml:7:60: error[MG1069]: DestinationRule shop/d: "
        'spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].from: the locality "eu//1" has an '
        "empty part (write region, region/zone or region/zone/subzone)",
    ),
    (
        "MG1069",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {us: 40, us/east: 60}}]}}\n",
        "routes.yaml:7:77: error[MG1069]: DestinationRule shop/d: "
        'spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to["us/east"]: the locality "us/east" '
        "overlaps with one before it (leave one of them out)",
    ),
    (
        "MG1070",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {eu: 80, us: 10}}]}}\n",
        "routes.yaml:7:68: error[MG1070]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to: the percentages add up to 90, not "
        "to 100 (change them so that their sum is 100)",
    ),
    (
        "MG1071",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    outlierDetection: {}\n"
        "    loadBalancer:\n"
        "      localityLbSetting:\n"
        "        distribute: [{from: eu, to: {eu: 100}}]\n"
        "        failover: [{from: eu, to: us}]\n",
        "routes.yaml:11:9: error[MG1071]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.localityLbSetting.failover: distribute and failover exclude each other "
        "(leave one of them out)",
    ),
    (
        "MG1071",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    outlierDetection: {}\n"
        "    loadBalancer:\n"
        "      localityLbSetting:\n"
        "        failover: [{from: eu, to: us}]\n"
        "        failoverPriority: [topology.kubernetes.io/zone]\n",
        "routes.yaml:11:28: error[MG1071]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.localityLbSetting.failoverPriority[0]: the label "
        "topology.kubernetes.io/zone cannot be a priority beside failover (leave failover or the label out)",
    ),
    (
        "MG1071",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {localityLbSetting: {enabled: true}, zoneAwareLbSetting: {enabled: true}}\n",
        "routes.yaml:7:56: error[MG1071]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting: localityLbSetting and zoneAwareLbSetting exclude "
        "each other (leave one of them out)",
    ),
    (
        "MG1072",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}\n",
        "routes.yaml:7:40: warning[MG1072]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.localityLbSetting.failover: nothing fails over, since without "
        "outlierDetection no endpoint counts as failed (write outlierDetection beside loadBalancer)",
    ),
    (
        "MG1073",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    outlierDetection: {}\n"
        "    loadBalancer: {localityLbSetting: {failover: [{from: eu/west, to: us}]}}\n",
        "routes.yaml:8:58: error[MG1073]: DestinationRule shop/d: "
        'spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0].from: "eu/west" is more than a region '
        '(write "eu": zones fail over by themselves)',
    ),
    (
        "MG1073",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    outlierDetection: {}\n"
        "    loadBalancer: {zoneAwareLbSetting: {failover: [{from: eu, to: '*'}]}}\n",
        "routes.yaml:8:67: error[MG1073]: DestinationRule shop/d: "
        'spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failover[0].to: "*" is a wildcard, not a region '
        "(name one region)",
    ),
    (
        "MG1073",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    outlierDetection: {}\n"
        "    loadBalancer: {zoneAwareLbSetting: {failover: [{from: eu, to: eu}]}}\n",
        "routes.yaml:8:67: error[MG1073]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failover[0].to: a region cannot stand in for itself "
        "(name another region)",
    ),
    (
        "MG1074",
        DESTINATION_RULE
        + "  trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /ca.pem}}\n",
        "routes.yaml:6:65: error[MG1074]: DestinationRule shop/d: spec.trafficPolicy.tls.caCertificates: "
        "caCertificates has no use with insecureSkipVerify, which takes any certificate (leave one of them out)",
    ),
    (
        "MG1075",
        DESTINATION_RULE + "  trafficPolicy: {tls: {mode: SIMPLE, credentialName: db, caCertificates: /ca.pem}}\n",
        "routes.yaml:6:59: error[MG1075]: DestinationRule shop/d: spec.trafficPolicy.tls.caCertificates: "
        "caCertificates and credentialName exclude each other (leave one of them out)",
    ),
    (
        "MG1076",
        DESTINATION_RULE + "  trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: /client.pem}}\n",
        "routes.yaml:6:24: error[MG1076]: DestinationRule shop/d: spec.trafficPolicy.tls.privateKey: the mode "
        "MUTUAL needs a privateKey (name the file, or a secret by credentialName)",
    ),
    (
        "MG1077",
        DESTINATION_RULE + "  trafficPolicy: {tls: {mode: SIMPLE, credentialName: 'configmap://other/ca'}}\n",
        "routes.yaml:6:55: error[MG1077]: DestinationRule shop/d: spec.trafficPolicy.tls.credentialName: the "
        'ConfigMap is in the namespace "other", and only one in "shop" can be used (copy it, or move the '
        "DestinationRule)",
    ),
    (
        "MG1078",
        DESTINATION_RULE + "  workloadSelector: {matchLabels: {app: 'front*'}}\n",
        "routes.yaml:6:41: error[MG1078]: DestinationRule shop/d: spec.workloadSelector.matchLabels.app: "
        '"front*" has a wildcard, which a selector does not know (write the label as the workload has it)',
    ),
    (
        "MG1078",
        DESTINATION_RULE + "  workloadSelector: {matchLabels: {'': front}}\n",
        'routes.yaml:6:36: error[MG1078]: DestinationRule shop/d: spec.workloadSelector.matchLabels[""]: the '
        "key of a label is empty (write a key)",
    ),
    (
        "MG1079",
        DESTINATION_RULE + "  workloadSelector: {}\n",
        "routes.yaml:6:3: warning[MG1079]: DestinationRule shop/d: spec.workloadSelector: the workload selector "
        "has no labels, and so selects every proxy of the namespace (write labels, or leave it out)",
    ),
    (
        "MG1080",
        DESTINATION_RULE + "  trafficPolicy:\n"
        "    loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}\n",
        "routes.yaml:7:20: warning[MG1080]: DestinationRule shop/d: spec.trafficPolicy.loadBalancer.simple: "
        "simple and consistentHash are set together, which the Kubernetes API server refuses; consistentHash "
        "counts (leave simple out)",
    ),
    (
        "MG1081",
        DESTINATION_RULE + "  exportTo: [other]\n  workloadSelector: {matchLabels: {app: front}}\n",
        "routes.yaml:6:14: error[MG1081]: DestinationRule shop/d: spec.exportTo[0]: a DestinationRule with a "
        'workloadSelector cannot be exported to "other" (write "." or leave exportTo out)',
    ),
    (
        "MG1082",
        DESTINATION_RULE
        + "  trafficPolicy: {connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}}\n",
        "routes.yaml:6:43: error[MG1082]: DestinationRule shop/d: "
        "spec.trafficPolicy.connectionPool.http.useClientProtocol: useClientProtocol and h2UpgradePolicy: "
        "UPGRADE exclude each other (leave one of them out)",
    ),
    (
        "MG1083",
        DESTINATION_RULE + "  trafficPolicy: {tunnel: {targetHost: db_1, targetPort: 5432}}\n",
        'routes.yaml:6:40: error[MG1083]: DestinationRule shop/d: spec.trafficPolicy.tunnel.targetHost: "db_1" '
        'is not a domain name: it has the character "_" (write a name or an IP address)',
    ),
]
