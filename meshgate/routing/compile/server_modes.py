"""
What a server does with its connections, and so which rules of VirtualServices it takes: one kind of them at most.

A server that passes TLS through takes tls rules; one that ends TLS, and one without TLS, takes tcp rules; one for HTTP
takes http rules (pilot/pkg/networking/core/gateway.go, createGatewayTCPFilterChainOpts). Rules of another kind are
silently left out by Istio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from meshgate.resources.kinds.gateway import Server
from meshgate.resources.kinds.shared_fields import HTTP_PROTOCOLS
from meshgate.resources.kinds.tls import PASSTHROUGH_MODES, TLSMode
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.wording import listing

HTTP: Final = "http"
TLS: Final = "tls"
TCP: Final = "tcp"
KINDS: Final = (TLS, TCP, HTTP)
"""The kinds of rules."""

_CURES: Final = {
    (TCP, HTTP): "write tcp rules; http rules need a server for HTTP",
    (TCP, TLS): "write tcp rules, or have the server route by server name: protocol TLS, mode PASSTHROUGH",
    (TLS, HTTP): "write tls rules with sniHosts; http rules need the gateway to end TLS: protocol HTTPS, mode SIMPLE",
    (TLS, TCP): "write tls rules with sniHosts, or mode SIMPLE if the gateway is to end TLS",
    (HTTP, TLS): "to pass TLS through, write the protocol TLS and the mode PASSTHROUGH",
    (HTTP, TCP): "to forward bytes, write the protocol TCP; or, if the gateway is to end TLS, the protocol TLS",
}
"""The hint where a server takes the first kind of rules, and there are those of the second."""


def rules_taken(server: Server) -> str:
    """The kind of rules that a server takes: one of :data:`KINDS`, or an empty text if it takes none."""
    protocol, tls = server.port.protocol.upper(), server.tls
    if protocol in HTTP_PROTOCOLS:
        return HTTP
    if tls is None:
        return TCP
    if tls.mode == TLSMode.AUTO_PASSTHROUGH:
        return ""
    if tls.mode in PASSTHROUGH_MODES:
        return TLS
    return HTTP if protocol == "HTTPS" else TCP


def server_text(server: Server) -> str:
    """A server in words: ``a TLS server of mode PASSTHROUGH, which takes tls rules``."""
    protocol = server.port.protocol.upper()
    mode = ""
    if server.tls is not None and protocol not in HTTP_PROTOCOLS:
        mode = f" of mode {server.tls.mode}" + ("" if "mode" in server.tls.model_fields_set else " (the default)")
    return f"{with_article(protocol)} server{mode}, which takes {rules_taken(server) or 'no'} rules"


def with_article(protocol: str) -> str:
    """A protocol with its article: ``an HTTP``, ``a TCP``."""
    return f"{'an' if protocol.startswith('H') else 'a'} {protocol}"


def kinds_of_rules(virtual_service: VirtualService) -> list[str]:
    """The kinds of rules that a VirtualService has."""
    spec = virtual_service.spec
    return [kind for kind, rules in zip(KINDS, (spec.tls, spec.tcp, spec.http_rules), strict=True) if rules]


def other_kind_hint(server: Server, kinds: Sequence[str]) -> str:
    """
    What to do where rules are of other kinds than a server takes.

    :param kinds: of the rules that there are.
    """
    taken = rules_taken(server)
    return next((_CURES[taken, kind] for kind in kinds if (taken, kind) in _CURES), "")


def names_in_words(virtual_services: Sequence[VirtualService], most: int = 3) -> str:
    """Some VirtualServices by name, as in a sentence: ``a/x, a/y, a/z and 2 more``."""
    names = [each.qualified_name for each in virtual_services]
    return listing([*names[:most], f"{len(names) - most} more"] if len(names) > most else names)
