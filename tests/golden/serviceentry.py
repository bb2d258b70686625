"""The exact texts of the problems of ServiceEntries and WorkloadEntries: code, smallest document, text."""

from __future__ import annotations

from typing import Final

SERVICE_ENTRY: Final = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: shop}
spec:
"""
WORKLOAD_ENTRY: Final = """\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec:
"""

CASES: Final[list[tuple[str, str, str]]] = [
    (
        "MG1060",
        SERVICE_ENTRY + "  hosts: ['*']\n",
        "routes.yaml:5:11: error[MG1060]: ServiceEntry shop/s: spec.hosts[0]: a ServiceEntry cannot be for "
        "every host (name a host, or *.example.com)",
    ),
    (
        "MG1079",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  resolution: STATIC\n  workloadSelector: {}\n",
        "routes.yaml:7:3: warning[MG1079]: ServiceEntry shop/s: spec.workloadSelector: the workload selector "
        "has no labels, and so selects every workload of the namespace (write labels, or leave it out)",
    ),
    (
        "MG1084",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n"
        "  resolution: STATIC\n"
        "  endpoints: [{address: 10.0.0.1}]\n"
        "  workloadSelector: {labels: {app: db}}\n",
        "routes.yaml:8:3: error[MG1084]: ServiceEntry shop/s: spec.workloadSelector: a ServiceEntry has either "
        "endpoints or a workloadSelector (leave one of them out)",
    ),
    (
        "MG1085",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  endpoints: [{address: 10.0.0.1}]\n",
        "routes.yaml:6:3: error[MG1085]: ServiceEntry shop/s: spec.endpoints: a ServiceEntry without resolution "
        "has no endpoints (write resolution: STATIC)",
    ),
    (
        "MG1085",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n"
        "  resolution: DNS_ROUND_ROBIN\n"
        "  endpoints: [{address: db-1}, {address: db-2}]\n",
        "routes.yaml:7:32: error[MG1085]: ServiceEntry shop/s: spec.endpoints[1]: resolution DNS_ROUND_ROBIN "
        "takes one endpoint at most (write resolution: DNS for several)",
    ),
    (
        "MG1086",
        SERVICE_ENTRY + "  hosts: ['*.example.com']\n  resolution: DNS\n",
        'routes.yaml:5:11: error[MG1086]: ServiceEntry shop/s: spec.hosts[0]: "*.example.com" cannot be looked '
        "up in the DNS (name a host, list endpoints, or write resolution: NONE)",
    ),
    (
        "MG1087",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  resolution: DYNAMIC_DNS\n",
        "routes.yaml:5:11: error[MG1087]: ServiceEntry shop/s: spec.hosts[0]: resolution DYNAMIC_DNS is for "
        "wildcard hosts (write *.example.com or the like, or resolution: DNS)",
    ),
    (
        "MG1087",
        SERVICE_ENTRY + "  hosts: ['*.example.com']\n  resolution: DYNAMIC_DNS\n  addresses: [10.0.0.1]\n",
        "routes.yaml:7:3: error[MG1087]: ServiceEntry shop/s: spec.addresses: resolution DYNAMIC_DNS takes no "
        "addresses, since each connection says where it goes (leave them out)",
    ),
    (
        "MG1087",
        SERVICE_ENTRY + "  hosts: ['*.example.com']\n"
        "  resolution: DYNAMIC_DNS\n"
        "  ports: [{number: 5432, name: db, protocol: TCP}]\n",
        "routes.yaml:7:46: error[MG1087]: ServiceEntry shop/s: spec.ports[0].protocol: resolution DYNAMIC_DNS "
        "is not for TCP (one of HTTP, TLS, GRPC, HTTP2)",
    ),
    (
        "MG1087",
        SERVICE_ENTRY.replace("shop", "shop, labels: {istio.io/use-waypoint: w}") + "  hosts: ['*.example.com']\n"
        "  resolution: DYNAMIC_DNS\n"
        "  location: MESH_INTERNAL\n",
        "routes.yaml:7:13: error[MG1087]: ServiceEntry shop/s: spec.location: resolution DYNAMIC_DNS inside the "
        "mesh does not work with a waypoint (write location: MESH_EXTERNAL, or remove the label "
        "istio.io/use-waypoint)",
    ),
    (
        "MG1088",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  resolution: DNS\n  addresses: [10.1.0.0/16]\n",
        'routes.yaml:7:15: error[MG1088]: ServiceEntry shop/s: spec.addresses[0]: "10.1.0.0/16" is a network, '
        "which cannot be with resolution DNS (write an IP address, or resolution: STATIC)",
    ),
    (
        "MG1089",
        SERVICE_ENTRY + "  hosts: ['*db.example.com']\n",
        'routes.yaml:5:11: warning[MG1089]: ServiceEntry shop/s: spec.hosts[0]: "*db.example.com" has a '
        'wildcard for a part of a label (write "*.db.example.com", or the names)',
    ),
    (
        "MG1090",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  ports: [{number: 5432, name: db, protocol: TCP}]\n",
        "routes.yaml:6:11: warning[MG1090]: ServiceEntry shop/s: spec.ports[0]: a TCP port without addresses "
        "cannot be told from others by sidecars (list addresses, or set the protocol TLS if it is that; a "
        "gateway needs none)",
    ),
    (
        "MG1090",
        SERVICE_ENTRY.replace("shop", "shop, labels: {networking.istio.io/enable-autoallocate-ip: 'false'}")
        + "  hosts: [db.example.com]\n"
        "  resolution: DNS\n"
        "  ports: [{number: 5432, name: db}]\n",
        "routes.yaml:7:11: warning[MG1090]: ServiceEntry shop/s: spec.ports[0]: a TCP port without addresses "
        "cannot be told from others by sidecars (list addresses, or set the protocol TLS if it is that; a "
        "gateway needs none)",
    ),
    (
        "MG1091",
        SERVICE_ENTRY + "  hosts: [a.example.com, b.example.com]\n"
        "  resolution: DNS\n"
        "  ports: [{number: 5432, name: db, protocol: TCP}]\n",
        "routes.yaml:7:11: error[MG1091]: ServiceEntry shop/s: spec.ports[0]: a TCP port cannot be for several "
        "hosts, as its connections do not say for which (write a ServiceEntry for each host)",
    ),
    (
        "MG1092",
        SERVICE_ENTRY + "  hosts: [a.example.com, b.example.com]\n"
        "  addresses: [10.0.0.1]\n"
        "  resolution: DNS\n"
        "  ports: [{number: 443, name: tls, protocol: TLS}]\n",
        "routes.yaml:5:3: warning[MG1092]: ServiceEntry shop/s: spec.hosts: several hosts share the addresses "
        "and a TCP or TLS port, so that only one of them is reached there (write a ServiceEntry for each host)",
    ),
    (
        "MG1093",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n"
        "  resolution: STATIC\n"
        "  ports: [{number: 443, name: tls, protocol: TLS}]\n"
        "  endpoints: [{address: 10.0.0.1, ports: {tsl: 8443}}]\n",
        "routes.yaml:8:43: error[MG1093]: ServiceEntry shop/s: spec.endpoints[0].ports.tsl: no port of the "
        'ServiceEntry has the name "tsl" (did you mean tls?)',
    ),
    (
        "MG1094",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  resolution: STATIC\n  endpoints: [{address: db-1.example.com}]\n",
        'routes.yaml:7:25: error[MG1094]: ServiceEntry shop/s: spec.endpoints[0].address: "db-1.example.com" is '
        "not an IP address (write resolution: DNS for names)",
    ),
    (
        "MG1094",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  resolution: DNS\n  endpoints: [{address: 'unix:///run/db'}]\n",
        "routes.yaml:7:25: error[MG1094]: ServiceEntry shop/s: spec.endpoints[0].address: a Unix socket cannot "
        "be looked up in the DNS (write resolution: STATIC)",
    ),
    (
        "MG1094",
        WORKLOAD_ENTRY + "  address: '10.0.0.1:5432'\n",
        'routes.yaml:5:12: error[MG1094]: WorkloadEntry shop/w: spec.address: "10.0.0.1:5432" is not a domain '
        'name: its label "1:5432" has the character ":" (write "10.0.0.1"; the port belongs under ports)',
    ),
    (
        "MG1095",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  resolution: STATIC\n  endpoints: [{address: 'unix:///run/db'}]\n",
        "routes.yaml:7:25: error[MG1095]: ServiceEntry shop/s: spec.endpoints[0].address: a Unix socket is for "
        "a service of one port, and this one has none (write a ServiceEntry for each port)",
    ),
    (
        "MG1095",
        WORKLOAD_ENTRY + "  address: 'unix://run/db'\n",
        'routes.yaml:5:12: error[MG1095]: WorkloadEntry shop/w: spec.address: "run/db" is neither the absolute '
        "path of a Unix socket nor an abstract name with @ before it (write unix:///path/to/socket)",
    ),
    (
        "MG1095",
        WORKLOAD_ENTRY + "  address: 'unix:///run/db'\n  ports: {db: 5432}\n",
        "routes.yaml:6:3: error[MG1095]: WorkloadEntry shop/w: spec.ports: a Unix socket has no ports (leave "
        "ports out)",
    ),
    (
        "MG1096",
        WORKLOAD_ENTRY + "  network: far\n",
        "routes.yaml:5:12: warning[MG1096]: WorkloadEntry shop/w: spec.network: there is no address in the "
        'network "far" (write an address, unless the network\'s gateway is to be asked)',
    ),
    (
        "MG1098",
        SERVICE_ENTRY + "  hosts: [db.example.com]\n  workloadSelector: {labels: {app: db}}\n",
        "routes.yaml:6:3: warning[MG1098]: ServiceEntry shop/s: spec.workloadSelector: without resolution the "
        "workloadSelector has no effect (write resolution: STATIC)",
    ),
]
