"""How a gateway treats the connections to a service (Istio, destination_rule.proto, TrafficPolicy): the fields."""

from __future__ import annotations

import enum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from meshgate.resources.fieldtypes import Count, Duration, IdleDuration, Number, Percent, by_number
from meshgate.resources.kinds.loadbalancer import LoadBalancer
from meshgate.resources.model import MAX_UINT32, Int32, Items, Model, NonEmpty, PortNumber, UInt32, refuse
from meshgate.resources.wording import nearest, quoted

_TUNNELS: Final = ("CONNECT", "POST")


class ClientTLSMode(enum.StrEnum):
    """Whether the gateway speaks TLS to the service, in the order of protobuf's numbers."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class H2UpgradePolicy(enum.StrEnum):
    """Whether HTTP/1.1 becomes HTTP/2, in the order of protobuf's numbers."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class ProxyProtocolVersion(enum.StrEnum):
    """The version of the PROXY protocol's header, in the order of protobuf's numbers."""

    V1 = "V1"
    V2 = "V2"


class TcpKeepalive(Model):
    """Probes on idle connections. Without any field the system's own values count."""

    probes: UInt32 = Field(default=0, description="lost probes that end the connection; 0 for the system's (9)")
    time: Duration | None = Field(default=None, description="idle time before the first; unset is the system's (2h)")
    interval: Duration | None = Field(default=None, description="time between two; unset is the system's (75s)")


class TCPSettings(Model):
    """Limits of the connections to a service."""

    max_connections: Annotated[Count, AfterValidator(lambda limit: limit or MAX_UINT32)] = Field(
        default=MAX_UINT32, description="how many at once; 0 and unset for as many as there are"
    )
    connect_timeout: Duration = Field(default=10.0, description="time to connect in; 10s if unset")
    tcp_keepalive: TcpKeepalive | None = Field(default=None, description="probes on idle connections; unset for none")
    max_connection_duration: Duration | None = Field(default=None, description="longest time; unset for no end")
    idle_timeout: IdleDuration | None = Field(
        default=None, description="time without a byte after which a connection ends; 1h if unset, 0s for never"
    )


class HTTPSettings(Model):
    """Limits of HTTP requests, which a layer 4 gateway does not see."""

    http1_max_pending_requests: Count = Field(default=0, description="HTTP only")
    http2_max_requests: Count = Field(default=0, description="HTTP only")
    max_requests_per_connection: Count = Field(default=0, description="HTTP only")
    max_retries: Count = Field(default=0, description="HTTP only")
    idle_timeout: Duration | None = Field(default=None, description="HTTP only")
    h2_upgrade_policy: Annotated[H2UpgradePolicy, Field(strict=False), by_number(H2UpgradePolicy)] = Field(
        default=H2UpgradePolicy.DEFAULT, description="HTTP only"
    )
    use_client_protocol: bool = Field(default=False, description="HTTP only")
    max_concurrent_streams: Count = Field(default=0, description="HTTP only")


class ConnectionPool(Model):
    """Limits of the connections to a service."""

    tcp: TCPSettings | None = Field(default=None, description="limits of connections")
    http: HTTPSettings | None = Field(default=None, description="limits of requests; not for TCP")


class OutlierDetection(Model):
    """Endpoints that fail are left out for a time. Over TCP a connection that cannot be made is a failure."""

    consecutive_errors: Int32 = Field(default=0, description="deprecated: write consecutive5xxErrors")
    split_external_local_origin_errors: bool = Field(
        default=False, description="count failures to connect apart from those that the service answers"
    )
    consecutive_local_origin_failures: UInt32 = Field(
        default=5, description="failures to connect, where they are counted apart; 0 for 5"
    )
    consecutive_gateway_errors: UInt32 = Field(default=0, description="failures in a row of gateways; 0 for off")
    consecutive_5xx_errors: UInt32 = Field(
        default=5, alias="consecutive5xxErrors", description="failures in a row; 0 for off"
    )
    interval: Duration = Field(default=10.0, description="time between two looks at the endpoints; 10s if unset")
    base_ejection_time: Duration = Field(
        default=30.0, description="how long to leave out, times how often it was before; 30s if unset"
    )
    max_ejection_percent: Annotated[Percent, AfterValidator(lambda percent: percent or 10)] = Field(
        default=10, description="how many of the endpoints at most; 0 and unset are 10"
    )
    min_health_percent: Percent = Field(
        default=0, description="with fewer good endpoints than this all are used; 0 for never"
    )


class ClientTLSSettings(Model):
    """TLS that the gateway begins towards the service."""

    mode: Annotated[ClientTLSMode, Field(strict=False), by_number(ClientTLSMode)] = Field(
        default=ClientTLSMode.DISABLE, description="none, TLS, TLS with a client certificate, or the mesh's own"
    )
    client_certificate: str = Field(default="", description="file with the client's certificate, for MUTUAL")
    private_key: str = Field(default="", description="file with its key, for MUTUAL")
    ca_certificates: str = Field(
        default="", description="file with the authorities that the service's certificate comes from; else the system's"
    )
    ca_crl: str = Field(default="", description="file with revoked certificates")
    credential_name: str = Field(default="", description="secret that holds all of these, instead of files")
    subject_alt_names: Items[str] = Field(default=(), description="names of which the service must have one")
    sni: str = Field(default="", description="server name to ask for")
    insecure_skip_verify: bool = Field(default=False, description="take any certificate")


def _tunnel(protocol: str) -> str:
    if protocol and protocol not in _TUNNELS:
        refuse("MG1004", f"{quoted(protocol)} is not a way to open a tunnel", nearest(protocol, _TUNNELS))
    return protocol or _TUNNELS[0]


class TunnelSettings(Model):
    """A tunnel through an HTTP proxy."""

    protocol: Annotated[str, AfterValidator(_tunnel)] = Field(
        default=_TUNNELS[0], description="CONNECT, which is the default, or POST"
    )
    target_host: NonEmpty = Field(description="name or IP address at the tunnel's end")
    target_port: PortNumber = Field(description="port at the tunnel's end")


class ProxyProtocol(Model):
    """A header before the connection's first byte, which tells the service the client's address."""

    version: Annotated[ProxyProtocolVersion, Field(strict=False), by_number(ProxyProtocolVersion)] = Field(
        default=ProxyProtocolVersion.V1, description="V1 is text, V2 is binary"
    )


class RetryBudget(Model):
    """How many HTTP requests may be retries, which a layer 4 gateway does not see."""

    percent: Annotated[Number, Field(ge=0, le=100)] | None = Field(default=None, description="HTTP only")
    min_retry_concurrency: UInt32 = Field(default=0, description="HTTP only")


class PortSelector(Model):
    """A port of the service."""

    number: PortNumber = Field(description="1 to 65535")


class PolicyParts(Model):
    """What a policy can say of the whole service and of one port alike."""

    load_balancer: LoadBalancer | None = Field(default=None, description="how an endpoint is chosen")
    connection_pool: ConnectionPool | None = Field(default=None, description="limits of its connections")
    outlier_detection: OutlierDetection | None = Field(default=None, description="leaves out endpoints that fail")
    tls: ClientTLSSettings | None = Field(default=None, description="TLS that the gateway begins")


class PortTrafficPolicy(PolicyParts):
    """The policy for one port, which replaces that for the service as a whole: nothing is inherited."""

    port: PortSelector = Field(description="port it is for")


class TrafficPolicy(PolicyParts):
    """How the connections to a service are treated."""

    port_level_settings: Annotated[Items[PortTrafficPolicy], Field(max_length=4096)] = Field(
        default=(), description="policies for single ports"
    )
    tunnel: TunnelSettings | None = Field(default=None, description="tunnel through an HTTP proxy")
    proxy_protocol: ProxyProtocol | None = Field(default=None, description="header with the client's address")
    retry_budget: RetryBudget | None = Field(default=None, description="HTTP only")
