"""The problems of VirtualServices."""

from __future__ import annotations

from typing import Final

from tests.golden import Golden

TCP: Final = "tcp: [{route: [{destination: {host: app}}]}]"


def virtual_service(
    rules: str = TCP, hosts: str = "[a.example.com]", gateways: str = "[infra/gw]", **fields: str
) -> str:
    """A VirtualService, whose rules are the last line."""
    lines = "".join(f"  {field}: {value}\n" for field, value in fields.items())
    return f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v}}
spec:
  hosts: {hosts}
  gateways: {gateways}
{lines}  {rules}
"""


def to(destination: str) -> str:
    """A tcp rule with one destination."""
    return f"tcp: [{{route: [{{destination: {destination}}}]}}]"


def tcp(match: str) -> str:
    """A tcp rule with one match block."""
    return f"tcp: [{{match: [{match}], route: [{{destination: {{host: app}}}}]}}]"


def tls(*names: str) -> str:
    """A tls rule with a match block for each name."""
    blocks = ", ".join(f"{{sniHosts: [{name}]}}" for name in names)
    return f"tls: [{{match: [{blocks}], route: [{{destination: {{host: app}}}}]}}]"


CASES: Final = (
    Golden(
        "MG1010",
        virtual_service("http: [{route: []}]"),
        """
        routes.yaml:7:3: info[MG1010]: VirtualService default/v: spec.http: http routes are not served by an L4
          gateway
        """,
    ),
    Golden(
        "MG1020",
        virtual_service(to("{host: app, subset: v1.2}")),
        """
        routes.yaml:7:52: error[MG1020]: VirtualService default/v: spec.tcp[0].route[0].destination.subset: "v1.2"
          is not a DNS label: it has the character "." (use letters, digits and -)
        """,
    ),
    Golden(
        "MG1021",
        virtual_service(hosts="[my_app.example.com]"),
        """
        routes.yaml:5:11: error[MG1021]: VirtualService default/v: spec.hosts[0]: "my_app.example.com" is not a
          domain name: its label "my_app" has the character "_" (did you mean "my-app.example.com"?)
        """,
    ),
    Golden(
        "MG1021",
        virtual_service(hosts="['https://a.example.com/']"),
        """
        routes.yaml:5:11: error[MG1021]: VirtualService default/v: spec.hosts[0]: "https://a.example.com/" is not a
          domain name: its label "https://a" has the character ":" (did you mean "a.example.com"?)
        """,
    ),
    Golden(
        "MG1021",
        virtual_service(tls("a.*.example.com"), hosts="['*.example.com']"),
        """
        routes.yaml:7:30: error[MG1021]: VirtualService default/v: spec.tls[0].match[0].sniHosts[0]:
          "a.*.example.com" is not a domain name: one "*" is allowed, as the first label or at its beginning
        """,
    ),
    Golden(
        "MG1021",
        virtual_service(to("{host: 10.0.0.1}")),
        """
        routes.yaml:7:39: error[MG1021]: VirtualService default/v: spec.tcp[0].route[0].destination.host: "10.0.0.1"
          is an IP address, and a destination is a service (write a ServiceEntry with this address, and name its
          host here)
        """,
    ),
    Golden(
        "MG1021",
        virtual_service(to("{host: '*'}")),
        """
        routes.yaml:7:39: error[MG1021]: VirtualService default/v: spec.tcp[0].route[0].destination.host: a
          destination is one service, not "*" (name the service)
        """,
    ),
    Golden(
        "MG1021",
        virtual_service(to("{host: infra/app}")),
        """
        routes.yaml:7:39: error[MG1021]: VirtualService default/v: spec.tcp[0].route[0].destination.host:
          "infra/app" is not a domain name: it has the character "/" (write app.infra.svc.cluster.local)
        """,
    ),
    Golden(
        "MG1022",
        virtual_service(tcp("{destinationSubnets: [10.0.0.0/33]}")),
        """
        routes.yaml:7:40: error[MG1022]: VirtualService default/v: spec.tcp[0].match[0].destinationSubnets[0]:
          "10.0.0.0/33" is not a network: the prefix is a number from 0 to 32, not "33" (write an address, a slash,
          and how many of its first bits count)
        """,
    ),
    Golden(
        "MG1022",
        virtual_service(tcp("{sourceSubnet: office}")),
        """
        routes.yaml:7:33: warning[MG1022]: VirtualService default/v: spec.tcp[0].match[0].sourceSubnet: "office" is
          neither an IP address nor a network, as 10.1.0.0/16 (write an address, a slash, and how many of its first
          bits count)
        """,
    ),
    Golden(
        "MG1023",
        virtual_service(tcp("{sourceLabels: {app: my app}}")),
        """
        routes.yaml:7:39: error[MG1023]: VirtualService default/v: spec.tcp[0].match[0].sourceLabels.app: "my app"
          is not a label's value: it has the character " " (use letters, digits, -, _ and .)
        """,
    ),
    Golden(
        "MG1040",
        virtual_service(hosts="[]"),
        """
        routes.yaml:6:3: error[MG1040]: VirtualService default/v: spec.gateways: a VirtualService without hosts is a
          delegate, which cannot have gateways (write the hosts that it is for)
        routes.yaml:7:3: error[MG1040]: VirtualService default/v: spec.tcp: a VirtualService without hosts is a
          delegate, which cannot have tcp rules (write the hosts that it is for)
        """,
    ),
    Golden(
        "MG1041",
        virtual_service("http: []"),
        """
        routes.yaml:5:3: error[MG1041]: VirtualService default/v: spec: a VirtualService needs tcp, tls or http
          rules (write tcp rules for plain connections, tls rules for those that are routed by server name)
        """,
    ),
    Golden(
        "MG1042",
        virtual_service(hosts="['*']", gateways="[]"),
        """
        routes.yaml:5:11: error[MG1042]: VirtualService default/v: spec.hosts[0]: the host "*" cannot be for the
          mesh (name the Gateways that it is for in gateways, and mesh not among them)
        """,
    ),
    Golden(
        "MG1043",
        virtual_service(hosts="[a.example.com, '*.example.com']"),
        """
        routes.yaml:5:26: error[MG1043]: VirtualService default/v: spec.hosts[1]: "*.example.com" and
          "a.example.com" in spec.hosts[0] overlap (remove one of the two)
        """,
    ),
    Golden(
        "MG1044",
        virtual_service(gateways="[./gw]"),
        """
        routes.yaml:6:14: error[MG1044]: VirtualService default/v: spec.gateways[0]: "." is not a DNS label: it has
          the character "." (write gw for the VirtualService's own namespace)
        """,
    ),
    Golden(
        "MG1044",
        virtual_service(gateways="[/gw]"),
        """
        routes.yaml:6:14: error[MG1044]: VirtualService default/v: spec.gateways[0]: "/gw" lacks a namespace before
          the slash or a name behind it (write namespace/name, or the name alone)
        """,
    ),
    Golden(
        "MG1044",
        virtual_service(gateways="[gw, other_gw]"),
        """
        routes.yaml:6:18: warning[MG1044]: VirtualService default/v: spec.gateways[1]: "other_gw" is not a domain
          name: it has the character "_" (did you mean "other-gw"?)
        """,
    ),
    Golden(
        "MG1045",
        virtual_service(gateways="[gw.infra]"),
        """
        routes.yaml:6:14: warning[MG1045]: VirtualService default/v: spec.gateways[0]: "gw.infra" is the old form of
          a reference to a Gateway (write infra/gw)
        """,
    ),
    Golden(
        "MG1046",
        virtual_service(exportTo="['~']"),
        """
        routes.yaml:7:14: error[MG1046]: VirtualService default/v: spec.exportTo[0]: only a ServiceEntry can be
          exported to no namespace (write "." to keep it in its own namespace)
        """,
    ),
    Golden(
        "MG1046",
        virtual_service(exportTo="[team a]"),
        """
        routes.yaml:7:14: error[MG1046]: VirtualService default/v: spec.exportTo[0]: "team a" is not a DNS label: it
          has the character " " (write the name of a namespace, "." for its own, or "*" for all)
        """,
    ),
    Golden(
        "MG1047",
        virtual_service(exportTo="[., default]"),
        """
        routes.yaml:7:17: error[MG1047]: VirtualService default/v: spec.exportTo[1]: "default" is the same namespace
          as spec.exportTo[0] (remove one of the two)
        """,
    ),
    Golden(
        "MG1047",
        virtual_service(exportTo="[infra, '*']"),
        """
        routes.yaml:7:21: error[MG1047]: VirtualService default/v: spec.exportTo[1]: "*" stands for every namespace,
          and there are other entries (leave it alone in the list, or remove it)
        """,
    ),
    Golden(
        "MG1048",
        virtual_service(tls("b.example.com")),
        """
        routes.yaml:7:30: error[MG1048]: VirtualService default/v: spec.tls[0].match[0].sniHosts[0]: no host of the
          VirtualService takes in the server name "b.example.com" (did you mean a.example.com? Or add it to hosts)
        """,
    ),
    Golden(
        "MG1048",
        virtual_service(tls("A.example.com")),
        """
        routes.yaml:7:30: error[MG1048]: VirtualService default/v: spec.tls[0].match[0].sniHosts[0]: no host of the
          VirtualService takes in the server name "A.example.com" (did you mean "a.example.com"? Names are compared
          letter by letter)
        """,
    ),
    Golden(
        "MG1048",
        virtual_service(tls("echo.default.svc.cluster.local"), hosts="[echo]"),
        """
        routes.yaml:7:30: error[MG1048]: VirtualService default/v: spec.tls[0].match[0].sniHosts[0]: no host of the
          VirtualService takes in the server name "echo.default.svc.cluster.local" (the short host echo is not made
          whole before the two are compared; write echo.default.svc.cluster.local in hosts, too)
        """,
    ),
    Golden(
        "MG1048",
        virtual_service(tls("a.example.com"), hosts="[a.example.com.]"),
        """
        routes.yaml:7:30: error[MG1048]: VirtualService default/v: spec.tls[0].match[0].sniHosts[0]: no host of the
          VirtualService takes in the server name "a.example.com" (write "a.example.com" in hosts; a dot at the end
          of a host counts)
        """,
    ),
    Golden(
        "MG1048",
        virtual_service(tls("a.example.com.")),
        """
        routes.yaml:7:30: error[MG1048]: VirtualService default/v: spec.tls[0].match[0].sniHosts[0]: no host of the
          VirtualService takes in the server name "a.example.com." (did you mean "a.example.com"? Names are compared
          letter by letter)
        """,
    ),
    Golden(
        "MG1049",
        virtual_service(tls("10.0.0.1")),
        """
        routes.yaml:7:30: warning[MG1049]: VirtualService default/v: spec.tls[0].match[0].sniHosts[0]: "10.0.0.1" is
          an IP address (clients send no server name for an address; write the name they use, or route by a tcp
          rule)
        """,
    ),
    Golden(
        "MG1050",
        virtual_service("tcp: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]"),
        """
        routes.yaml:7:17: error[MG1050]: VirtualService default/v: spec.tcp[0].route: none of the destinations has a
          weight (with several destinations, give at least one a weight above 0)
        """,
    ),
    Golden(
        "MG1051",
        virtual_service("tcp: [{route: [{destination: {host: a}}]}, {route: [{destination: {host: b}}]}]"),
        """
        routes.yaml:7:46: warning[MG1051]: VirtualService default/v: spec.tcp[1]: the rule is never reached:
          spec.tcp[0] has no match, and so takes every connection (keep one rule without match)
        """,
    ),
    Golden(
        "MG1052",
        virtual_service(tls("a.example.com", "a.example.com")),
        """
        routes.yaml:7:47: warning[MG1052]: VirtualService default/v: spec.tls[0].match[1]: the match block is the
          same as spec.tls[0].match[0], and is never reached (remove it, or change one of the two)
        """,
    ),
    Golden(
        "MG1053",
        virtual_service("http: [{match: [{uri: {prefix: /a}}, {uri: {prefix: /ab}}]}]"),
        """
        routes.yaml:7:40: info[MG1053]: VirtualService default/v: spec.http[0].match[1]: the match block is never
          reached: spec.http[0].match[0] has a shorter prefix than "/ab", and nothing else that this one has not (put
          the longer prefix first)
        """,
    ),
    Golden(
        "MG1099",
        virtual_service(tls("a.example.com."), hosts="[a.example.com.]"),
        """
        routes.yaml:5:11: warning[MG1099]: VirtualService default/v: spec.hosts[0]: "a.example.com." ends with a
          dot, and no client asks for a server name that does (write "a.example.com"; hosts are compared letter by
          letter)
        routes.yaml:7:30: warning[MG1099]: VirtualService default/v: spec.tls[0].match[0].sniHosts[0]:
          "a.example.com." ends with a dot, and no client asks for a server name that does (write "a.example.com";
          hosts are compared letter by letter)
        """,
    ),
    Golden("MG1099", virtual_service(hosts="[a.example.com.]"), ""),
)
