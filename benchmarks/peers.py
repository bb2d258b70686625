"""
The other proxies, each configured for what is measured: one server name, one endpoint, one worker, no access log.

Knows programs and their configuration files; must not know what is measured. The settings are those under which each
does what meshgate does, half-close included, and otherwise its defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = "n000000.example.com"
"""The server name that a load with a single name asks for."""

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


@dataclass(frozen=True, slots=True)
class Peer:
    """
    Another proxy.

    :ivar name: that of its program too.
    :ivar package: the Debian package that it comes from.
    :ivar configuration: with the fields folder, port, backend and name.
    :ivar command: makes the arguments from the configuration's path.
    :ivar version: the arguments that make it say its version.
    :ivar needs: a file that it cannot do without.
    """

    name: str
    package: str
    configuration: str
    command: Callable[[str], Sequence[str]]
    version: Sequence[str]
    needs: Path | None = None

    def prepare(self, folder: Path, port: int, backend: int) -> Sequence[str]:
        """Write the configuration into a folder; gives the command that runs it."""
        file = folder / f"{self.name}.conf"
        file.write_text(self.configuration.format(folder=folder, port=port, backend=backend, name=NAME))
        return self.command(str(file))


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "nginx",
            "nginx libnginx-mod-stream",
            NGINX,
            lambda file: ("nginx", "-c", file),
            ("-v",),
            Path("/usr/lib/nginx/modules/ngx_stream_module.so"),
        ),
        Peer("haproxy", "haproxy", HAPROXY, lambda file: ("haproxy", "-db", "-f", file), ("-v",)),
        Peer("sniproxy", "sniproxy", SNIPROXY, lambda file: ("sniproxy", "-f", "-c", file), ("-V",)),
    )
}
