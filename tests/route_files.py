"""Short route files, and a sink that remembers, for the tests of providers."""

from __future__ import annotations

from meshgate import testing

UNPARSABLE = "spec: [\n"


def gateway(name: str, port: int = 443, namespace: str | None = None) -> str:
    """One document: a valid Gateway."""
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: {name}
{f"  namespace: {namespace}" if namespace else ""}
spec:
  servers:
  - port: {{number: {port}, name: tls, protocol: TLS}}
    hosts: ["*.example.com"]
    tls: {{mode: PASSTHROUGH}}
"""


def large_gateway(name: str, ports: int, last: int = 443) -> str:
    """One document: a valid Gateway with so many ports, up from 1000 but for the last one."""
    text = gateway(name)
    server = text[text.index("  - port:") :]
    numbers = [*range(1000, 1000 + ports - 1), last]
    servers = [server.replace("443, name: tls", f"{number}, name: tls-{number}") for number in numbers]
    return text.replace(server, "".join(servers))


def broken_gateway(name: str) -> str:
    """One document: YAML, a Gateway, and invalid, since a port is a number."""
    return gateway(name).replace("443", "https")


class RecordingSink(testing.RecordingSink):
    """Keeps what is published, and gives what tests of files ask for."""

    @property
    def ports(self) -> dict[str, int]:
        """The port of each Gateway published last, by name, in the order of the snapshot."""
        return {each.name: each.spec.servers[0].port.number for each in self.last.resources}

    @property
    def codes(self) -> list[str]:
        """The codes of the problems published last."""
        return [problem.code for problem in self.last.problems]
