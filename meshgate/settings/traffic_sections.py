"""
The sections of the settings file about connections: their way in and out, their limits, and the health of their
endpoints.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict

from meshgate.resources.kinds.annotations import MODES, NONE
from meshgate.resources.kinds.health_check import HealthCheckForm
from meshgate.resources.model import Items, Labels, PortNumber, ValueForm
from meshgate.resources.names import WildcardDomain
from meshgate.routing.addresses import network
from meshgate.routing.connection_policy import Keepalive
from meshgate.routing.hosts import full_name
from meshgate.routing.proxy_headers import HeaderDefaults
from meshgate.settings.access_sections import Bandwidth, Rate
from meshgate.settings.section import (
    Duration,
    LimitDuration,
    Locality,
    Name,
    NameServer,
    Permissions,
    ProbeInterval,
    ProbeSeconds,
    Section,
    Size,
    Text,
    TrustedNetwork,
    key,
    one_of,
)

HeaderMode = Annotated[Literal["none", "optional", "strict"], BeforeValidator(one_of(*MODES)), ValueForm("Choice")]

DRAIN_REMOVED = "drain"
"""The choice that ends the connections of removed listeners and routes."""


class GatewaySettings(Section):
    """The gateway as Istio sees it: the pod that Gateways select."""

    labels: Annotated[Labels, ValueForm("Mapping")] = key(
        "The labels of the gateway: it serves every Gateway whose selector asks for nothing but these.",
        {"app": "istio-ingressgateway", "istio": "ingressgateway"},
    )
    namespace: Name = key("The namespace that the gateway would run in.", "istio-system")
    locality: Locality = key(
        "Where the gateway is, as region/zone/subzone, to prefer near endpoints; empty if that is unknown.", ""
    )
    node: Text = key("The name of the gateway's node, for Services that prefer the endpoints on it.", "")


class ProviderEntry(Section):
    """One source of routes. The other keys of an entry are the options of its type."""

    model_config = ConfigDict(extra="allow")

    name: Name = key("What the log and the status call the provider; no two have the same name.")
    type: Text = key("What the provider is: directory reads files and folders; plug-ins bring further types.")


class DnsSettings(Section):
    """The resolving of endpoint names."""

    servers: Annotated[Items[NameServer], ValueForm("List of addresses")] = key(
        "The name servers to ask, as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353; the port is 53 unless given. "
        "An empty list means those of /etc/resolv.conf.",
        (),
    )


class TimeoutSettings(Section):
    """Time limits; in seconds once loaded."""

    hello: LimitDuration = key("How long a client may take to send its whole ClientHello.", "15s")
    connect: LimitDuration = key("How long one attempt to connect to an endpoint may take.", "10s")
    idle: Duration = key(
        "How long a connection may carry no byte either way before it is closed; 0 means forever.", "1h"
    )
    half_close: LimitDuration = key(
        "How long one side may stay silent after the other has finished, before both are closed.", "10m"
    )
    max_duration_jitter: Annotated[int, ValueForm("Number")] = key(
        "By how many percent, at the most, chance lengthens the maxConnectionDuration of each connection, so that "
        "those which began together do not end together; from 0 to 100.",
        0,
        ge=0,
        le=100,
    )


class ProbeSettings(Section):
    """Probes on connections of one side, which is given up when it is silent for idle and count times interval."""

    idle: ProbeSeconds = key("How long nothing comes from it before the first probe; 0 means no probes.", "60s")
    interval: ProbeInterval = key("How long after a probe the next one follows, while there is no answer.", "15s")
    count: Annotated[int, ValueForm("Number")] = key(
        "How many probes without an answer end the connection, from 1 to 127.", 4, ge=1, le=127
    )

    def keepalive(self) -> Keepalive | None:
        """The probes of connections; None if these settings switch them off."""
        return Keepalive(self.count, self.idle, self.interval) if self.idle else None


class KeepaliveSettings(Section):
    """Keepalive: how to notice that the other side is gone without a word."""

    client: ProbeSettings = key(
        "For clients: silent ones are probed by the kernel. A client that acknowledges nothing that it is sent is "
        "given up after the same time. It ends the connection as client_timed_out.",
        {},
    )
    upstream: ProbeSettings = key(
        "The same for endpoints, as upstream_timed_out. The tcpKeepalive of a DestinationRule counts instead for its "
        "endpoints.",
        {},
    )


class LimitSettings(Section):
    """Limits of one connection, and of their number."""

    hello_bytes: Size = key(
        "The largest ClientHello, in bytes or with the unit KiB: from 512 bytes to 64KiB.",
        "16KiB",
        alias="hello",
        ge=512,
        le=65536,
    )
    dial_attempts: Annotated[int, ValueForm("Number")] = key(
        "How many endpoints of a destination may fail to answer before a connection is given up, from 1 to 16. One "
        "that refuses does not count while another one is left. With 1, as in Istio, the first failure is the end, and "
        "what failed before does not matter to the choice.",
        3,
        ge=1,
        le=16,
    )
    connections: Annotated[int, ValueForm("Number")] = key(
        "How many connections there may be at once, over all workers. One more is closed at once, and logged with the "
        "ending over_limit. 0 means as many as there are file descriptors; when those run out, new connections wait.",
        0,
        ge=0,
    )
    connections_per_listener: Annotated[int, ValueForm("Number")] = key(
        "The same for each listener; 0 means no limit.", 0, ge=0
    )
    connections_per_client: Annotated[int, ValueForm("Number")] = key(
        "The same for each client, which is an IPv4 address or an IPv6 network of 64 bits; 0 means no limit.", 0, ge=0
    )
    client_rate: Rate = key(
        "How many new connections one client may make, over all workers, as 20/s, 300/m or 1000/h. As many may come at "
        "once, and after that one each time that its share of the second, minute or hour has passed. One more is "
        "closed at once, and logged with the ending over_rate. 0 means no limit.",
        0,
    )
    client_burst: Annotated[int, ValueForm("Number")] = key(
        "How many may come at once, if not as many as the number in client_rate says; 0 means that.", 0, ge=0
    )
    listener_rate: Rate = key("The same for each listener; 0 means no limit.", 0)
    listener_burst: Annotated[int, ValueForm("Number")] = key("As client_burst, for listener_rate.", 0, ge=0)
    bandwidth: Bandwidth = key(
        "How many bytes one connection may move in a second, each way, as 512KiB/s, 10MiB/s or 1GiB/s; 0 means no "
        "limit. Holds for the connections from then on. The annotation meshgate.io/bandwidth of a DestinationRule "
        "limits all connections to its host together.",
        0,
    )
    bandwidth_burst: Size = key(
        "How many bytes may come at once after a silence, in bytes or with the unit KiB or MiB; 0 means those of a "
        "tenth of a second, and 16KiB at least.",
        0,
        ge=0,
    )
    dry_run: Annotated[bool, ValueForm("true or false")] = key(
        "Refuse nobody by these limits on the number and the rate of connections, and log and count who would be.",
        False,
    )


class ProxyProtocolSettings(Section):
    """PROXY headers, by which load balancers tell who the client is."""

    trusted: Annotated[Items[TrustedNetwork], ValueForm("List of networks")] = key(
        "The networks and addresses of the load balancers whose headers count, as 10.0.0.0/8, 2001:db8::/32 or "
        "192.0.2.7. Who may open a Unix socket of the gateway is trusted as well.",
        (),
    )
    mode: HeaderMode = key(
        "How connections begin where no Gateway has the annotation meshgate.io/proxy-protocol, and the port is in none "
        "of the lists below: none for no header; strict for a header, without which they are closed, as are those from "
        "addresses that are not trusted; optional for either. Where the endpoint is dialed before the client has said "
        "anything, an optional header is waited for 100ms.",
        NONE,
    )
    optional_ports: Annotated[Items[PortNumber], ValueForm("List of ports")] = key(
        "Ports on which the gateway listens, whose mode is optional.", ()
    )
    strict_ports: Annotated[Items[PortNumber], ValueForm("List of ports")] = key(
        "Ports on which the gateway listens, whose mode is strict.", ()
    )

    def defaults(self) -> HeaderDefaults:
        """The same for the compiler."""
        return HeaderDefaults(
            tuple(filter(None, map(network, self.trusted))),
            self.mode,
            frozenset(self.optional_ports),
            frozenset(self.strict_ports),
        )


class UnixSocketSettings(Section):
    """Who may connect to the Unix sockets that Gateways bind to."""

    mode: Permissions = key(
        'The permissions of their paths: who may write may connect. In quotes, as "0660" or "0666".', "0660"
    )
    group: Text = key(
        "The group of their paths, by its name or number; empty for the gateway's own. The gateway has to be a member, "
        "unless it is root.",
        "",
    )


class ListeningSettings(Section):
    """The accepting of connections."""

    backlog: Annotated[int, ValueForm("Number")] = key(
        "How many connections may wait to be accepted, for each port and worker, from 1 to 65535; the system may allow "
        "fewer (net.core.somaxconn). Holds for the ports opened from then on.",
        1024,
        ge=1,
        le=65535,
    )
    defer_accept: Annotated[bool, ValueForm("true or false")] = key(
        "Where the first bytes decide the route, accept a connection only when they are there, or after a second "
        "(TCP_DEFER_ACCEPT). It costs less; but a client that connects and says nothing is seen a second later, and "
        "one that resets before it says anything leaves no line in the access log.",
        True,
    )
    wait_for_addresses: Annotated[bool, ValueForm("true or false")] = key(
        "At the start, take an address that this machine does not have for one that it will get, such as a virtual IP "
        "address that moves between machines: the gateway starts, and tries each second until the port can be bound. "
        "Otherwise that ends the start, as anything else does for which a port cannot be bound.",
        False,
    )
    unix_sockets: UnixSocketSettings = key(
        "Who may connect to the Unix sockets that Gateways bind to. Holds for the sockets opened from then on.", {}
    )
    proxy_protocol: ProxyProtocolSettings = key(
        "Load balancers in front of the gateway that send PROXY headers, of version 1 or 2.", {}
    )


class DrainSettings(Section):
    """The end of connections when the gateway stops, is upgraded, or loses a route."""

    delay: Duration = key(
        "How long the gateway goes on accepting connections after SIGTERM, while /readyz already answers no, so that "
        "load balancers send no more clients.",
        "0s",
    )
    time: Duration = key(
        "How long connections may go on after that. Those that are left after half of it are reset one after the "
        "other, the last at its end, so that their clients do not come back all at once; their ending is drained.",
        "30s",
    )
    removed: Annotated[
        Literal["keep", "drain"], BeforeValidator(one_of("keep", DRAIN_REMOVED)), ValueForm("Choice")
    ] = key(
        "What becomes of the connections of a listener or route that is removed: keep lets them go on until they end, "
        "drain ends them within time, as above.",
        "keep",
    )


class _HostKey(Section):
    """The key that comes first in an entry."""

    host: Annotated[WildcardDomain, ValueForm("Host")] = key(
        "The host of a Service or ServiceEntry, or a wildcard over such hosts; a short name is of "
        "default_namespace. Of several entries, that with the most specific host counts."
    )


class HealthCheckEntry(HealthCheckForm, _HostKey):
    """A check for the endpoints of some hosts. The annotation meshgate.io/health-check counts in its place."""


class HealthSettings(Section):
    """The health of endpoints."""

    checks: Items[HealthCheckEntry] = key(
        "Checks of endpoints; an entry for a host without a route does nothing. The annotation "
        "meshgate.io/health-check of a DestinationRule, a Service or a ServiceEntry has the same keys except host, and "
        "counts in place of an entry.",
        (),
    )
    on_removed: Annotated[Literal["keep", "end"], BeforeValidator(one_of("keep", "end")), ValueForm("Choice")] = key(
        "What becomes of the connections of an endpoint that is removed from its destination: keep leaves them alone; "
        "end resets them as endpoint_removed, one after the other within spread.",
        "keep",
    )
    spread: Duration = key(
        "The time over which the connections of one endpoint are ended, so that its clients do not come back all at "
        "once; 0 ends them at once.",
        "30s",
    )

    def checks_by_host(self, namespace: str, domain_suffix: str) -> dict[str, tuple[HealthCheckForm, ...]]:
        """
        The checks by the full names of their hosts.

        :param namespace: of short names.
        """
        found: dict[str, list[HealthCheckForm]] = defaultdict(list)
        for each in self.checks:
            found[full_name(each.host, namespace, domain_suffix)].append(each)
        return {host: tuple(forms) for host, forms in found.items()}
