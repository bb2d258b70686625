"""The exact texts of what is said of all resources together: code, smallest documents, text."""

from __future__ import annotations

from typing import Final

CASES: Final[list[tuple[str, str, str]]] = [
    (
        "MG2001",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: egress}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: edge, labels: {istio: egress}}
""",
        "routes.yaml:5:13: info[MG2001]: Gateway shop/g: spec.selector: not taken by this gateway: it selects"
        " istio=egress, and the gateway's labels are istio=ingressgateway (set the labels of this gateway in "
        "the settings, under gateway.labels)",
    ),
    (
        "MG2002",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [a.example.com], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: h, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [b.example.com, a.example.com], tls: {mode: PASSTHROUGH}}
""",
        "routes.yaml:15:76: error[MG2002]: Gateway shop/h: spec.servers[0].hosts[1]: the whole server is "
        "dropped: a.example.com on port 443 already belongs to server 'tls' of Gateway shop/g "
        "(routes.yaml:7:61) (name each host in one TLS server of a port only; the older Gateway wins)",
    ),
    (
        "MG2003",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: h, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
""",
        "routes.yaml:15:21: error[MG2003]: Gateway shop/h: spec.servers[0].port.number: the server is "
        "dropped: port 9000 is already taken by the TCP server 'tcp' of Gateway shop/g (routes.yaml:7:21) (a "
        "plain port belongs to one server; use another port, or another bind address)",
    ),
    (
        "MG2004",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*foo.com']
  gateways: [g]
  tls: [{match: [{sniHosts: ['*foo.com']}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:18: error[MG2004]: VirtualService shop/v: spec.tls[0].match[0]: the rule is dropped: "
        "*foo.com is a partial wildcard, which Envoy does not accept as a server name on [::]:443 (Envoy "
        "would refuse the whole listener)",
    ),
    (
        "MG2005",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [a.example.com]
  gateways: [g]
  tls: [{match: [{sniHosts: [a.example.com]}], route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: w, namespace: shop}
spec:
  hosts: [a.example.com, b.example.com]
  gateways: [g]
  tls: [{match: [{sniHosts: [a.example.com, b.example.com]}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:23:30: error[MG2005]: VirtualService shop/w: spec.tls[0].match[0].sniHosts[0]: the whole"
        " match block is dropped: a.example.com on port 443 already goes to VirtualService shop/v "
        "(routes.yaml:15:18) spec.tls[0].match[0] (the older VirtualService wins, then the name that sorts "
        "first)",
    ),
    (
        "MG2006",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{match: [{sourceSubnet: 10.0.0.0/8}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:33: warning[MG2006]: VirtualService shop/v: spec.tcp[0].match[0].sourceSubnet: "
        "sourceSubnet means nothing on a gateway: the rule takes connections from and to anywhere (Istio "
        "ignores it here without a word)",
    ),
    (
        "MG2007",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [a.example.com], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*.example.com']
  gateways: [g]
  tls: [{match: [{sniHosts: ['*.example.com']}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:30: warning[MG2007]: VirtualService shop/v: spec.tls[0].match[0].sniHosts[0]: "
        "*.example.com reaches beyond the hosts of the server 'tls' of Gateway shop/g (routes.yaml:7:5), and "
        "is routed all the same (Istio does not cut server names to the server's hosts; narrow sniHosts)",
    ),
    (
        "MG2008",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
""",
        "routes.yaml:7:5: warning[MG2008]: Gateway shop/g: spec.servers[0]: nothing is routed from port 9000:"
        " no VirtualService names the Gateway (a TCP server takes its routes from tcp rules; without any, its"
        " port is not opened)",
    ),
    (
        "MG2009",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: w, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:23:9: warning[MG2009]: VirtualService shop/w: spec.tcp[0]: the rule never gets a "
        "connection: port 9000 goes whole to VirtualService shop/v (routes.yaml:15:9) spec.tcp[0] (a TCP port"
        " has no names to tell routes apart; give each its own port)",
    ),
    (
        "MG2010",
        """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:6:14: error[MG2010]: VirtualService shop/v: spec.gateways[0]: the Gateway shop/g does "
        "not exist (there is no Gateway at all)",
    ),
    (
        "MG2011",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
  exportTo: ['.']
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:16:13: warning[MG2011]: VirtualService shop/v: spec.exportTo: not visible to this "
        "gateway: it is exported to . only, and the gateway is in istio-system (add 'istio-system' or \"*\" to "
        "exportTo)",
    ),
    (
        "MG2020",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
""",
        "routes.yaml:15:39: error[MG2020]: VirtualService shop/v: spec.tcp[0].route[0].destination.host: the "
        "host db.shop.svc.cluster.local is unknown (give it a Service or a ServiceEntry, or check the "
        "namespace of the short name)",
    ),
    (
        "MG2020",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db.example.com.}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: shop}
spec: {hosts: [db.example.com], ports: [{number: 9000, name: tls, protocol: TLS}], resolution: STATIC}
""",
        "routes.yaml:15:39: error[MG2020]: VirtualService shop/v: spec.tcp[0].route[0].destination.host: the "
        "host db.example.com. is unknown (did you mean db.example.com? A dot at the end of a host counts)",
    ),
    (
        "MG2020",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db.example.com}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: shop}
spec: {hosts: [db.example.com.], ports: [{number: 9000, name: tls, protocol: TLS}], resolution: STATIC}
""",
        "routes.yaml:15:39: error[MG2020]: VirtualService shop/v: spec.tcp[0].route[0].destination.host: the "
        "host db.example.com is unknown (did you mean db.example.com.? A dot at the end of a host counts)",
    ),
    (
        "MG2020",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db.}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
""",
        "routes.yaml:15:39: error[MG2020]: VirtualService shop/v: spec.tcp[0].route[0].destination.host: the "
        "host db. is unknown (did you mean db.shop.svc.cluster.local? A dot at the end of a host counts)",
    ),
    (
        "MG2021",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db, port: {number: 81}}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:58: error[MG2021]: VirtualService shop/v: "
        "spec.tcp[0].route[0].destination.port.number: db.shop.svc.cluster.local has no port 81; it has 80 "
        "(name one of the ports under destination.port.number)",
    ),
    (
        "MG2022",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
""",
        "routes.yaml:15:32: warning[MG2022]: VirtualService shop/v: spec.tcp[0].route[0].destination: "
        "db.shop.svc.cluster.local:80 has no endpoint: no EndpointSlice names the Service, and no "
        "WorkloadEntry in shop is labeled app=db",
    ),
    (
        "MG2030",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
""",
        "routes.yaml:7:5: info[MG2030]: Gateway shop/g: spec.servers[0]: HTTP on port 80 is not served: the "
        "gateway works below HTTP (for TLS that the endpoint terminates itself, use mode PASSTHROUGH and a "
        "tls route)",
    ),
    (
        "MG2031",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: AUTO_PASSTHROUGH}}
""",
        "routes.yaml:7:5: error[MG2031]: Gateway shop/g: spec.servers[0]: AUTO_PASSTHROUGH is for "
        "multi-cluster meshes and not served",
    ),
    (
        "MG2032",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: cert}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:7:5: error[MG2032]: Gateway shop/g: spec.servers[0]: the server terminates TLS, which "
        "this gateway does not do yet",
    ),
    (
        "MG2040",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingres}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {istio: egress}}
""",
        "routes.yaml:5:13: error[MG2040]: Gateway shop/g: spec.selector: selects nothing that is known: "
        "neither this gateway (istio=ingressgateway) nor any Pod is labeled istio=ingres (a selector has "
        "labels of the gateway's pod)",
    ),
    (
        "MG2040",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingres-gateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
""",
        "routes.yaml:5:13: warning[MG2040]: Gateway shop/g: spec.selector: selects nothing that is known: "
        "neither this gateway (istio=ingressgateway) nor Istio's own is labeled istio=ingres-gateway, and "
        "there are no Pods (did you mean istio: ingressgateway?)",
    ),
    (
        "MG2041",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: h, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
""",
        "routes.yaml:7:5: warning[MG2041]: Gateway shop/g: spec.servers[0]: port 9000 with * is also that of "
        "Gateway shop/h (routes.yaml:15:5), for the same gateways (write one Gateway for a port and host, or "
        "give them different selectors)",
    ),
    (
        "MG2042",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: v1
kind: Service
metadata: {name: ingress, namespace: istio-system}
spec: {ports: [{port: 443, name: tls}], selector: {istio: ingressgateway}}
""",
        "routes.yaml:7:21: warning[MG2042]: Gateway shop/g: spec.servers[0].port.number: port 9000 is not on "
        "the Service in front of the gateway: istio-system/ingress (routes.yaml:12:15) (in a cluster, clients"
        " come through that Service; add the port to it)",
    ),
    (
        "MG2043",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db, subset: v3}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, subsets: [{name: v1}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:51: error[MG2043]: VirtualService shop/v: spec.tcp[0].route[0].destination.subset: "
        "db.shop.svc.cluster.local has no subset v3 (one of v1)",
    ),
    (
        "MG2044",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {proxyProtocol: {}, loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 9s}}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:20:49: info[MG2044]: DestinationRule shop/d: spec.trafficPolicy.proxyProtocol: not done "
        "by this gateway yet: proxyProtocol, loadBalancer.warmup (its connections are made without it)",
    ),
    (
        "MG2045",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /ca.pem}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:32: error[MG2045]: VirtualService shop/v: spec.tcp[0].route[0].destination: the "
        "endpoint is to be spoken to by TLS SIMPLE, which this gateway does not begin yet (so DestinationRule"
        " shop/d (routes.yaml:20:39) wants it; nothing is sent in the clear)",
    ),
    (
        "MG2046",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db.example.com}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: shop}
spec: {hosts: [db.example.com], ports: [{number: 80, name: tls, protocol: TLS}], resolution: DNS, exportTo: ['.']}
""",
        "routes.yaml:15:39: error[MG2046]: VirtualService shop/v: spec.tcp[0].route[0].destination.host: the "
        "host db.example.com is not visible in the namespace istio-system: ServiceEntry shop/s "
        '(routes.yaml:20:109) is exported to shop only (add istio-system or "*" to its exportTo)',
    ),
    (
        "MG2047",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp-a}, {port: 81, name: tcp-b}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:32: warning[MG2047]: VirtualService shop/v: spec.tcp[0].route[0].destination: "
        "db.shop.svc.cluster.local has the ports 80, 81 and none is named, so the number of the server's port"
        " is taken (name one of them under destination.port.number)",
    ),
    (
        "MG2048",
        """\
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: main}]}
""",
        "routes.yaml:4:33: info[MG2048]: Service shop/db: spec.ports[0].name: the name 'main' of port 80 does"
        " not say which protocol it is for; sidecars guess it (begin the name with the protocol, as in "
        "tcp-echo or tls-echo, or write appProtocol)",
    ),
    (
        "MG2049",
        """\
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], type: ExternalName, externalName: db.example.com}
""",
        "routes.yaml:4:33: warning[MG2049]: Service shop/db: spec.ports[0].name: the name 'tcp' of port 80 "
        "does not say which protocol it is for; sidecars may not forward its TCP connections (begin the name "
        "with the protocol, as in tcp-echo or tls-echo, or write appProtocol)",
    ),
    (
        "MG2050",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [a.example.com], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [b.example.com]
  gateways: [g]
  tls: [{match: [{sniHosts: [b.example.com]}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:13:10: warning[MG2050]: VirtualService shop/v: spec.hosts: none of its hosts "
        "(b.example.com) is one of Gateway shop/g (routes.yaml:7:3), which has a.example.com (the Gateway "
        "takes no rule of it)",
    ),
    (
        "MG2050",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: [a.example.com]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [a.example.com.]
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
""",
        "routes.yaml:13:10: warning[MG2050]: VirtualService shop/v: spec.hosts: none of its hosts "
        "(a.example.com.) is one of Gateway shop/g (routes.yaml:7:3), which has a.example.com (the Gateway "
        "takes no rule of it; a dot at the end of a host counts)",
    ),
    (
        "MG2050",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['shop/*.example.com.']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [a.example.com]
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
""",
        "routes.yaml:13:10: warning[MG2050]: VirtualService shop/v: spec.hosts: none of its hosts "
        "(a.example.com) is one of Gateway shop/g (routes.yaml:7:3), which has *.example.com. (the Gateway "
        "takes no rule of it; a dot at the end of a host counts)",
    ),
    (
        "MG2052",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{match: [{port: 9001}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:25: warning[MG2052]: VirtualService shop/v: spec.tcp[0].match[0].port: the block is "
        "never reached: no server of shop/g has the port 9001; for tcp rules it has 9000 (the port is that of"
        " the Gateway's server, not of the service)",
    ),
    (
        "MG2052",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{match: [{gateways: [h]}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:29: warning[MG2052]: VirtualService shop/v: spec.tcp[0].match[0].gateways: the block "
        "is never reached: it is for shop/h, which the VirtualService does not name (add it to spec.gateways)",
    ),
    (
        "MG2053",
        """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [db]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: w, namespace: shop}
spec:
  hosts: [db]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:5:11: error[MG2053]: VirtualService shop/v: spec.hosts[0]: in the mesh, "
        "db.shop.svc.cluster.local is a host of VirtualService shop/w (routes.yaml:12:11), too, and only one "
        "counts (merge them into one, or export them to different namespaces)\n"
        "routes.yaml:12:11: error[MG2053]: VirtualService shop/w: spec.hosts[0]: in the mesh, "
        "db.shop.svc.cluster.local is a host of VirtualService shop/v (routes.yaml:5:11), too, and only one "
        "counts (merge them into one, or export them to different namespaces)",
    ),
    (
        "MG2054",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: cert}}
---
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: shop}
data: {tls.crt: '', tls.key: ''}
""",
        "routes.yaml:7:103: error[MG2054]: Gateway shop/g: spec.servers[0].tls.credentialName: the Secret "
        "istio-system/cert does not exist (there is one in shop)",
    ),
    (
        "MG2054",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: cert}}
""",
        "routes.yaml:7:103: info[MG2054]: Gateway shop/g: spec.servers[0].tls.credentialName: the Secret "
        "istio-system/cert is not among what was read (a gateway takes Secrets of its own namespace)",
    ),
    (
        "MG2055",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: cert}}
---
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: istio-system}
data: {tls.cert: ''}
""",
        "routes.yaml:7:103: error[MG2055]: Gateway shop/g: spec.servers[0].tls.credentialName: the Secret "
        "istio-system/cert (routes.yaml:9:1) cannot be used: it has tls.cert and no key pair (it needs "
        "tls.crt and tls.key)",
    ),
    (
        "MG2055",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  servers:
  - {port: {number: 443, name: s, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: cert}}
---
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: istio-system}
stringData: {tls.crt: none, tls.key: none}
""",
        "routes.yaml:6:113: error[MG2055]: Gateway shop/g: spec.servers[0].tls.credentialName: the Secret "
        "istio-system/cert (routes.yaml:8:1) cannot be used: its tls.crt holds no certificate in PEM form "
        "(kubectl create secret tls makes one from two PEM files)",
    ),
    (
        "MG2056",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: cert}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: h, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [b.example.com], tls: {mode: SIMPLE, credentialName: cert}}
""",
        "routes.yaml:7:113: warning[MG2056]: Gateway shop/g: spec.servers[0].tls.credentialName: the "
        "certificate cert is also that of Gateway shop/h (routes.yaml:15:113): an HTTP/2 client uses one "
        "connection for all names of a certificate (write one server for all hosts of a certificate)\n"
        "routes.yaml:15:113: warning[MG2056]: Gateway shop/h: spec.servers[0].tls.credentialName: the "
        "certificate cert is also that of Gateway shop/g (routes.yaml:7:113): an HTTP/2 client uses one "
        "connection for all names of a certificate (write one server for all hosts of a certificate)",
    ),
    (
        "MG2057",
        """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, subsets: [{name: v3, labels: {version: v3}}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:4:47: error[MG2057]: DestinationRule shop/d: spec.subsets[0].labels: the subset v3 "
        "selects nothing: no endpoint of db.shop.svc.cluster.local is labeled version=v3 (connections for it "
        "are closed)",
    ),
    (
        "MG2057",
        """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, subsets: [{name: v3, labels: {version: v3}}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
""",
        "routes.yaml:4:47: warning[MG2057]: DestinationRule shop/d: spec.subsets[0].labels: the subset v3 "
        "selects nothing: no endpoint of db.shop.svc.cluster.local is labeled version=v3 "
        "(db.shop.svc.cluster.local has no endpoint at all)",
    ),
    (
        "MG2058",
        """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db}
""",
        "routes.yaml:4:14: warning[MG2058]: DestinationRule shop/d: spec.host: there is no host "
        "db.shop.svc.cluster.local for it to be about (give it a Service or a ServiceEntry, or check the "
        "namespace of the short name)",
    ),
    (
        "MG2058",
        """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db.shop.svc.cluster.local.}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
""",
        "routes.yaml:4:14: warning[MG2058]: DestinationRule shop/d: spec.host: there is no host "
        "db.shop.svc.cluster.local. for it to be about (did you mean db.shop.svc.cluster.local? A dot at the "
        "end of a host counts)",
    ),
    (
        "MG2059",
        """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {tls: {mode: SIMPLE}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:4:39: warning[MG2059]: DestinationRule shop/d: spec.trafficPolicy.tls: no caCertificates"
        " are given to hold the certificate of db against (name the file with the authorities that it comes "
        "from)",
    ),
    (
        "MG2060",
        """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:4:80: warning[MG2060]: DestinationRule shop/d: "
        "spec.trafficPolicy.portLevelSettings[0].tls: no caCertificates are given to hold the certificate of "
        "db at port 80 against (name the file with the authorities that it comes from)",
    ),
    (
        "MG2061",
        """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: shop}
spec: {hosts: [db.example.com], ports: [{number: 80, name: tcp, protocol: TCP}], resolution: DNS}
""",
        "routes.yaml:4:41: info[MG2061]: ServiceEntry shop/s: spec.ports[0]: the TCP port 80 has no address: "
        "sidecars that are not given one take every connection to that port for it (a gateway does without; "
        "for sidecars write addresses)",
    ),
    (
        "MG2062",
        """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: shop}
spec: {hosts: [db.example.com], ports: [{number: 80, name: web, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: t, namespace: shop}
spec: {hosts: [db.example.com], ports: [{number: 80, name: web, protocol: TLS}], resolution: DNS}
""",
        "routes.yaml:4:75: warning[MG2062]: ServiceEntry shop/s: spec.ports[0].protocol: port 80 of "
        "db.example.com is HTTP here, and something else in ServiceEntry shop/t (routes.yaml:9:75) (write the"
        " same protocol, or export them to different namespaces)\n"
        "routes.yaml:9:75: warning[MG2062]: ServiceEntry shop/t: spec.ports[0].protocol: port 80 of "
        "db.example.com is TLS here, and something else in ServiceEntry shop/s (routes.yaml:4:75) (write the "
        "same protocol, or export them to different namespaces)",
    ),
    (
        "MG2063",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: w, namespace: shop}
spec:
  hosts: [db]
  tcp: [{route: [{destination: {host: db, subset: v1}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, subsets: [{name: v1}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:32: warning[MG2063]: VirtualService shop/v: spec.tcp[0].route[0].destination: the "
        "subsets that VirtualService shop/w (routes.yaml:22:51) tells apart for db.shop.svc.cluster.local "
        "have no effect here: a gateway goes to all endpoints of the host (write the subset into this rule)",
    ),
    (
        "MG2064",
        """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, subsets: [{name: v1}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: e, namespace: shop}
spec: {host: db, subsets: [{name: v1}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:9:35: warning[MG2064]: DestinationRule shop/e: spec.subsets[0].name: the subset v1 of db"
        " is ignored: DestinationRule shop/d (routes.yaml:4:35) is older and has one of that name (give it "
        "another name, or write one DestinationRule a host)",
    ),
    (
        "MG2065",
        """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: e, namespace: shop}
spec: {host: db, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:9:33: warning[MG2065]: DestinationRule shop/e: spec.trafficPolicy: the trafficPolicy for"
        " db is ignored: DestinationRule shop/d (routes.yaml:4:33) is older and has one (write one "
        "DestinationRule a host)",
    ),
    (
        "MG2068",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:20:82: info[MG2068]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName: httpHeaderName is nothing to choose "
        "by over TCP: endpoints are chosen at random (useSourceIp chooses by the client's address)",
    ),
    (
        "MG2069",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:32: error[MG2069]: VirtualService shop/v: spec.tcp[0].route[0].destination: "
        "loadBalancer PASSTHROUGH keeps the original destination, which a gateway does not have (so "
        "DestinationRule shop/d (routes.yaml:20:48) wants it; Istio's gateway would dial itself)",
    ),
    (
        "MG2070",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 4999999}}}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:20:65: info[MG2070]: DestinationRule shop/d: "
        "spec.trafficPolicy.loadBalancer.consistentHash: a table of 4999999 entries for choosing by hash is "
        "made with 65537 (a larger one would only make the shares a little more even)",
    ),
    (
        "MG2071",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {idleTimeout: 5s}}}]}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:20:111: warning[MG2071]: DestinationRule shop/d: "
        "spec.trafficPolicy.portLevelSettings[0].connectionPool.tcp.idleTimeout: idleTimeout has no effect "
        "here: only that of spec.trafficPolicy counts (Istio ignores it here without a word)",
    ),
    (
        "MG2072",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: db, trafficPolicy: {outlierDetection: {}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:20:52: info[MG2072]: DestinationRule shop/d: spec.trafficPolicy.outlierDetection: "
        "outlierDetection never leaves out an endpoint of db.shop.svc.cluster.local:80: one of 1 is more than"
        " the 10% of maxEjectionPercent (nor does Istio's; from 100 on, one may be left out)",
    ),
    (
        "MG2074",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: a, protocol: TCP}, hosts: ['*']}
  - {port: {number: 9000, name: b, protocol: TCP}, bind: 0.0.0.0, hosts: ['*']}
""",
        "routes.yaml:8:58: warning[MG2074]: Gateway shop/g: spec.servers[1].bind: the server is reached over "
        "IPv6, too: it shares a listener with server 'a' of Gateway shop/g (routes.yaml:7:5), which has no "
        "bind (write the same bind in all servers of a port, or none)",
    ),
    (
        "MG2074",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: a, protocol: TCP}, bind: 0.0.0.0, hosts: ['*']}
  - {port: {number: 9000, name: b, protocol: TCP}, hosts: ['*']}
""",
        "routes.yaml:8:5: warning[MG2074]: Gateway shop/g: spec.servers[1]: the server is reached over IPv4 "
        "alone: it shares a listener with server 'a' of Gateway shop/g (routes.yaml:7:5), which is bound to "
        "0.0.0.0 (write the same bind in all servers of a port, or none)",
    ),
    (
        "MG2074",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: a, protocol: TCP}, hosts: ['*']}
  - {port: {number: 9000, name: b, protocol: TCP}, bind: '::', hosts: ['*']}
""",
        "routes.yaml:7:5: warning[MG2074]: Gateway shop/g: spec.servers[0]: the server is reached over IPv4 "
        "alone: the IPv6 connections of its port go to server 'b' of Gateway shop/g (routes.yaml:8:5), which "
        "is bound to :: (write the same bind in all servers of a port, or none)",
    ),
    (
        "MG2075",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db.example.com}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.example.com]
  ports: [{number: 80, name: tcp}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {tcp: 9000}}]
""",
        "routes.yaml:15:39: error[MG2075]: VirtualService shop/v: spec.tcp[0].route[0].destination.host: "
        "db.example.com:80 has the endpoint 127.0.0.1:9000, which is this gateway's own listener [::]:9000; its "
        "connections end as loop (let the destination name the endpoint itself; one listener cannot be reached "
        "through another)",
    ),
]

EXTENDED_CASES: Final[list[tuple[str, str, str]]] = [
    (
        "MG2005",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [a.example.com]
  gateways: [g]
  tls: [{match: [{sniHosts: [a.example.com]}], route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: w, namespace: shop}
spec:
  hosts: [a.example.com, b.example.com]
  gateways: [g]
  tls: [{match: [{sniHosts: [a.example.com, b.example.com]}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:23:18: error[MG2005]: VirtualService shop/w: spec.tls[0].match[0]: the rule gets nothing"
        " of a.example.com on [::]:443: that goes to VirtualService shop/v (routes.yaml:15:18) "
        "spec.tls[0].match[0] (tell the two apart by sniHosts, destinationSubnets or sourceSubnet)",
    ),
    (
        "MG2006",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{match: [{sourceNamespace: shop}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:36: warning[MG2006]: VirtualService shop/v: spec.tcp[0].match[0].sourceNamespace: "
        "sourceNamespace means nothing on a gateway: the rule takes connections from and to anywhere (Istio "
        "ignores it here without a word)",
    ),
    (
        "MG2009",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: w, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:23:9: warning[MG2009]: VirtualService shop/w: spec.tcp[0]: the rule gets nothing on "
        "[::]:9000: that goes to VirtualService shop/v (routes.yaml:15:9) spec.tcp[0] (tell the two apart "
        "by sniHosts, destinationSubnets or sourceSubnet)",
    ),
    (
        "MG2066",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{match: [{sourceSubnet: ten}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:33: error[MG2066]: VirtualService shop/v: spec.tcp[0].match[0].sourceSubnet: the "
        'match block is dropped: "ten" is not a network (write a network as 10.1.0.0/16)',
    ),
    (
        "MG2067",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [a.example.com], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: ['*.example.com']
  gateways: [g]
  tls: [{match: [{sniHosts: ['*.example.com']}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:30: info[MG2067]: VirtualService shop/v: spec.tls[0].match[0].sniHosts[0]: "
        "*.example.com is cut to the hosts of the server 'tls' of Gateway shop/g (routes.yaml:7:5): "
        "a.example.com (Istio would route all of it)",
    ),
    (
        "MG2067",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [a.example.com], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [a.example.com, b.example.com]
  gateways: [g]
  tls: [{match: [{sniHosts: [b.example.com]}], route: [{destination: {host: db}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: db}}
""",
        "routes.yaml:15:30: warning[MG2067]: VirtualService shop/v: spec.tls[0].match[0].sniHosts[0]: "
        "b.example.com is cut to the hosts of the server 'tls' of Gateway shop/g (routes.yaml:7:5): nothing, "
        "since it has none of these names (Istio would route all of it)",
    ),
]

REFUSED_CASES: Final[list[tuple[str, str, str]]] = [
    (
        "MG2012",
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec: {servers: []}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [a.example.com]
  gateways: [g]
  tls: [{match: [{sniHosts: [a.example.com]}], route: [{destination: {host: db}}]}]
""",
        "routes.yaml:11:14: warning[MG2012]: VirtualService shop/v: spec.gateways[0]: the Gateway shop/g "
        "(routes.yaml:1:1) is not valid, and so takes no rule (its own problems say what is wrong with it)",
    ),
    (
        "MG2023",
        """\
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 80, name: tcp, protocol: HTTP}], selector: {app: db}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [a.example.com]
  gateways: [g]
  tls: [{match: [{sniHosts: [a.example.com]}], route: [{destination: {host: db}}]}]
""",
        "routes.yaml:12:77: error[MG2023]: VirtualService shop/v: spec.tls[0].route[0].destination.host: the "
        "host db.shop.svc.cluster.local is that of Service shop/db (routes.yaml:1:1), which is not valid (its"
        " own problems say what is wrong with it)",
    ),
]
"""The same, where a resource among them is not valid."""
