"""The text that the lab prints when it is up: the open ports, and a command to try on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshgate.lab.certificates import CHAIN_FILE
from meshgate.routing.table import ANY_IPV4, Listener, RoutingTable


def banner(table: RoutingTable, certificates: str, routes: Iterable[str]) -> str:
    """
    Write the text from the routing table in force, so that every command in it works.

    :param certificates: the folder with the chain of the certificate authority.
    :param routes: the files and folders of the routes.
    """
    lines = ["", "meshgate is up and listening:"]
    for key in sorted(table.listeners):
        lines += _commands(table.listeners[key], f"{certificates}/{CHAIN_FILE}")
    lines += [f"Edit {', '.join(routes)} and watch the routes follow. Ctrl-C ends it.", ""]
    return "\n".join(lines) + "\n"


def _commands(listener: Listener, ca_chain: str) -> Iterator[str]:
    bind, port = listener.key
    address = "127.0.0.1" if bind == ANY_IPV4 else bind
    if not listener.sniffs:
        yield f"  port {port}, TCP:"
        yield f"    telnet {address} {port}"
        return
    yield f"  port {port}, TLS by server name:"
    for name in sorted(listener.exact):
        if not listener.exact[name].refusal:
            yield f"    curl --cacert {ca_chain} --resolve {name}:{port}:{address} https://{name}:{port}/"
