"""The protocols that a port may have (Istio, pkg/config/protocol/instance.go)."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator

from meshgate.resources.model import refuse
from meshgate.resources.wording import quoted, spelling_hint

#: Protocols whose connections begin with TLS.
TLS_PROTOCOLS: Final = frozenset(["HTTPS", "TLS"])
#: Protocols of the HTTP family without TLS.
HTTP_PROTOCOLS: Final = frozenset(["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"])
#: Protocols that are routed as a stream of bytes, TLS among them.
STREAM_PROTOCOLS: Final = TLS_PROTOCOLS | {"TCP", "MONGO", "MYSQL", "REDIS"}
#: All protocols, in the order in which messages list them.
PROTOCOLS: Final = ("TCP", "TLS", "HTTPS", *sorted(HTTP_PROTOCOLS), "MONGO", "MYSQL", "REDIS", "UDP")


def _checked(protocol: str) -> str:
    name = protocol.upper()
    if name in PROTOCOLS:
        return name
    return refuse("MG1004", f"{quoted(protocol)} is not a protocol", spelling_hint(protocol, PROTOCOLS))


def _checked_or_empty(protocol: str) -> str:
    return protocol and _checked(protocol)


#: A protocol in any case, kept in upper case.
Protocol = Annotated[str, AfterValidator(_checked)]
#: A protocol, or an empty text if it is to be detected from the first bytes.
OptionalProtocol = Annotated[str, AfterValidator(_checked_or_empty)]
