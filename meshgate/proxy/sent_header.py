"""The PROXY header that an endpoint gets before the bytes of the client."""

from __future__ import annotations

from collections.abc import Iterator

from meshgate.proxy.record import ConnectionRecord
from meshgate.routing.proxy_headers import HeaderForEndpoint
from meshgate.wire.proxy_protocol import ProxyHeader, Tlv, TlvType, build_v1, build_v2


def header_for_endpoint(
    wanted: HeaderForEndpoint, record: ConnectionRecord, local: tuple[str, int], received: ProxyHeader | None
) -> bytes:
    """
    Make the header. What a load balancer has told of a field goes before what the gateway knows itself.

    :param local: the address and port to which the client has connected.
    :param received: the header that the connection began with; None without one.
    """
    if wanted.version == 1:
        return build_v1(record.client, local)
    return build_v2(record.client, local, _fields(wanted, record, received))


def _fields(wanted: HeaderForEndpoint, record: ConnectionRecord, received: ProxyHeader | None) -> Iterator[Tlv]:
    if wanted.alpn:
        first = record.alpn[0].encode("utf-8", "surrogateescape") if record.alpn else b""
        yield from _field(TlvType.ALPN, received, first)
    if wanted.authority:
        # The name by which the route was chosen; without one, what the load balancer has heard.
        name = (record.sni or "").encode("utf-8", "surrogateescape")
        yield from _field(TlvType.AUTHORITY, None if name else received, name)
    if wanted.unique_id:
        own = f"{record.id}-{int(record.started * 1000):x}"
        yield from _field(TlvType.UNIQUE_ID, received, own.encode("ascii"))


def _field(kind: TlvType, received: ProxyHeader | None, own: bytes) -> Iterator[Tlv]:
    value = (received.field(kind) if received is not None else None) or own
    if value:
        yield Tlv(kind, value)
