"""What the lab says when it is up: the ports that listen now, and the lines to try on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from meshgate.lab.certificates import CHAIN_FILE
from meshgate.routing.table import Listener, RoutingTable


def banner(table: RoutingTable, certificates: Path, routes: Iterable[str]) -> str:
    """
    The text, from the routes in force: what is printed is what there is.

    :param certificates: the folder with the certificate authority's chain.
    :param routes: the files and folders that the routes come from.
    """
    lines = ["", "meshgate is up. Try:"]
    for key in sorted(table.listeners):
        lines += _invitations(table.listeners[key], certificates / CHAIN_FILE)
    lines += [f"Edit {', '.join(routes)} and watch the routes follow. Ctrl-C ends it.", ""]
    return "\n".join(lines) + "\n"


def _invitations(listener: Listener, ca_chain: Path) -> Iterator[str]:
    bind, port = listener.key
    address = "127.0.0.1" if bind == "0.0.0.0" else bind  # noqa: S104 -- compared, not bound
    if listener.catch_all is not None and not listener.sniffs:
        yield f"  telnet {address} {port}"
    for name in sorted(listener.exact):
        if not listener.exact[name].refusal:
            yield f"  curl --cacert {ca_chain} --resolve {name}:{port}:{address} https://{name}:{port}/"
