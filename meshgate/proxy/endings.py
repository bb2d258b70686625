"""
The endings of connections: one closed vocabulary for the access log, counters, docs and tests.

This is a module of its own because mypyc compiles no ``__new__`` of an enumeration.
"""

from __future__ import annotations

import enum


class Ending(enum.Enum):
    """The reason why a connection ended: ``value`` is the word in the log, ``meaning`` explains it in the docs."""

    _value_: str
    meaning: str

    OK = "ok", "both sides finished, or the client closed and lacked at most a last record (TLS's close_notify)"
    NO_ROUTE = (
        "no_route",
        "no chain takes the server name that the client asked for, or the socket, which systemd keeps open, has no "
        "listener",
    )
    NO_SNI = "no_sni", "a well-formed ClientHello without a server name, and no chain takes those"
    NOT_TLS = "not_tls", "the first bytes are not TLS, and no chain takes plain text"
    BAD_HELLO = "bad_hello", "the ClientHello is malformed; never sent to any route"
    HELLO_TOO_LARGE = "hello_too_large", "the ClientHello is over the limit of bytes or records"
    HELLO_TIMEOUT = "hello_timeout", "the client did not finish its ClientHello in time"
    CLIENT_CLOSED_EARLY = "client_closed_early", "the client left before a route was chosen"
    UNTRUSTED_PROXY = (
        "untrusted_proxy",
        "the listener requires a PROXY header, and the client is not among the trusted load balancers",
    )
    NO_PROXY_HEADER = "no_proxy_header", "the listener requires a PROXY header, and the first bytes are none"
    BAD_PROXY_HEADER = "bad_proxy_header", "the PROXY header is malformed, or its checksum is wrong"
    PROXY_HEADER_TIMEOUT = "proxy_header_timeout", "the load balancer did not finish its PROXY header in time"
    NO_ENDPOINT = "no_endpoint", "the destination is unknown or has no endpoint"
    NOT_SERVED = "not_served", "the server terminates TLS, which this gateway does not do yet"
    DENIED = "denied", "the client's address may not connect, by the settings or by the Gateway"
    OVER_RATE = (
        "over_rate",
        "the client or the listener had more new connections in a short time than the settings allow",
    )
    OVER_LIMIT = (
        "over_limit",
        "there were as many connections as the settings or the destination's maxConnections allow",
    )
    DIAL_REFUSED = "dial_refused", "every endpoint tried refused or was unreachable"
    DIAL_TIMEOUT = "dial_timeout", "the last endpoint tried did not answer within the connect timeout"
    LOOP = "loop", "the endpoint is one of the gateway's own listeners, and was not dialed"
    LOCAL_SHORTAGE = (
        "local_shortage",
        "this machine had no local port, descriptor or memory left for a connection to the endpoint",
    )
    CLIENT_RESET = "client_reset", "the client reset the connection before it had been sent everything"
    UPSTREAM_RESET = "upstream_reset", "the endpoint reset the connection"
    CLIENT_TIMED_OUT = (
        "client_timed_out",
        "the client answered nothing any more, neither probes (keepalive) nor what was sent to it",
    )
    UPSTREAM_TIMED_OUT = "upstream_timed_out", "the endpoint answered nothing any more, in the same way"
    IDLE = "idle", "no byte either way for the idle time"
    MAX_DURATION = "max_duration", "the connection had lasted as long as the maxConnectionDuration allows"
    ENDPOINT_UNHEALTHY = (
        "endpoint_unhealthy",
        "the endpoint's health check fails, and its connections were to end (on_unhealthy: end)",
    )
    ENDPOINT_REMOVED = (
        "endpoint_removed",
        "the destination has the endpoint no more, and its connections were to end (health.on_removed: end)",
    )
    HALF_CLOSE_TIMEOUT = "half_close_timeout", "one side had finished and the other stayed silent too long"
    DRAINED = (
        "drained",
        "the gateway was stopping, or the settings ask to end the connections of removed listeners and routes",
    )

    def __new__(cls, word: str, meaning: str) -> Ending:
        """Make a member whose value is the word."""
        member = object.__new__(cls)
        member._value_ = word
        member.meaning = meaning
        return member

    # Every connection is counted by its ending, and Enum's own hash is far slower.
    __hash__ = object.__hash__
