"""The problems that a field of any kind can have."""

from __future__ import annotations

from typing import Final

from tests.golden import Golden


def gateway(server: str) -> str:
    """A Gateway with one server."""
    return f"""apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw}}
spec: {{servers: [{server}]}}
"""


def server(port: str, more: str = "") -> str:
    """A server."""
    return f"{{port: {{{port}}}, hosts: [a.example.com]{more}}}"


CASES: Final = (
    Golden(
        "MG1001",
        gateway(server("number: 80, name: tcp, protocol: TCP, nam: x")),
        """
        routes.yaml:4:64: error[MG1001]: Gateway default/gw: spec.servers[0].port.nam: the field nam is not known
          (did you mean name?)
        """,
    ),
    Golden(
        "MG1002",
        gateway(server("number: 80, protocol: TCP")),
        """
        routes.yaml:4:25: error[MG1002]: Gateway default/gw: spec.servers[0].port.name: the required field name is
          missing
        """,
    ),
    Golden(
        "MG1003",
        gateway(server("number: http, name: tcp, protocol: TCP")),
        """
        routes.yaml:4:34: error[MG1003]: Gateway default/gw: spec.servers[0].port.number: must be a whole number,
          not the text "http"
        """,
    ),
    Golden(
        "MG1003",
        gateway(server("number: 80, name: 80, protocol: TCP")),
        """
        routes.yaml:4:44: error[MG1003]: Gateway default/gw: spec.servers[0].port.name: must be text, not the number
          80 (put it in quotes)
        """,
    ),
    Golden(
        "MG1004",
        gateway(server("number: 80, name: tcp, protocol: TPC")),
        """
        routes.yaml:4:59: error[MG1004]: Gateway default/gw: spec.servers[0].port.protocol: "TPC" is not a protocol
          (did you mean TCP?)
        """,
    ),
    Golden(
        "MG1004",
        gateway(server("number: 443, name: tls, protocol: TLS", ", tls: {mode: passthrough}")),
        """
        routes.yaml:4:102: error[MG1004]: Gateway default/gw: spec.servers[0].tls.mode: the text "passthrough" is
          not one of the choices (did you mean PASSTHROUGH? It is one of PASSTHROUGH, SIMPLE, MUTUAL,
          AUTO_PASSTHROUGH, ISTIO_MUTUAL, OPTIONAL_MUTUAL)
        """,
    ),
    Golden(
        "MG1005",
        gateway(server("number: 70000, name: tcp, protocol: TCP")),
        """
        routes.yaml:4:34: error[MG1005]: Gateway default/gw: spec.servers[0].port.number: the number 70000 is out of
          range (at most 65535 is allowed)
        """,
    ),
    Golden(
        "MG1006",
        gateway("{port: {number: 80, name: '', protocol: TCP}, hosts: []}"),
        """
        routes.yaml:4:44: error[MG1006]: Gateway default/gw: spec.servers[0].port.name: the text must not be empty
        routes.yaml:4:71: error[MG1006]: Gateway default/gw: spec.servers[0].hosts: the list needs at least one
          entry
        """,
    ),
    Golden(
        "MG1007",
        gateway(server("number: 443, name: tls, protocol: TLS", ", tls: {credential_name: c, mode: SIMPLE}")),
        """
        routes.yaml:4:96: warning[MG1007]: Gateway default/gw: spec.servers[0].tls.credential_name: credential_name
          is snake_case, which the Kubernetes API server drops (write credentialName)
        """,
    ),
    Golden(
        "MG1009",
        gateway(server("number: 80, name: a, protocol: TCP") + ", " + server("number: 81, name: a, protocol: TCP")),
        """
        routes.yaml:4:114: error[MG1009]: Gateway default/gw: spec.servers[1].port.name: the name "a" is taken by
          spec.servers[0].port.name (give each port a name of its own)
        """,
    ),
)
