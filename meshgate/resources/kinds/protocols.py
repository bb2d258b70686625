"""
The protocols that a port can be declared with (Istio, pkg/config/protocol/instance.go).

Knows names only; what a protocol means for routing is not decided here.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator

from meshgate.resources.model import refuse
from meshgate.resources.wording import quoted, spelling_hint

#: Protocols whose connections are TLS when they arrive.
TLS_PROTOCOLS: Final = frozenset(["HTTPS", "TLS"])
#: Protocols of the HTTP family without TLS.
HTTP_PROTOCOLS: Final = frozenset(["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"])
#: Protocols that are routed as a stream of bytes, TLS among them.
STREAM_PROTOCOLS: Final = TLS_PROTOCOLS | {"TCP", "MONGO", "MYSQL", "REDIS"}
#: All of them, in the order in which messages list them.
PROTOCOLS: Final = ("TCP", "TLS", "HTTPS", *sorted(HTTP_PROTOCOLS), "MONGO", "MYSQL", "REDIS", "UDP")


def _known(protocol: str) -> str:
    name = protocol.upper()
    if name in PROTOCOLS:
        return name
    return refuse("MG1004", f"{quoted(protocol)} is not a protocol", spelling_hint(protocol, PROTOCOLS))


def _known_or_empty(protocol: str) -> str:
    return protocol and _known(protocol)


#: A protocol in any case, kept in upper case.
Protocol = Annotated[str, AfterValidator(_known)]
#: A protocol, or nothing for one to be guessed from the first bytes.
OptionalProtocol = Annotated[str, AfterValidator(_known_or_empty)]
