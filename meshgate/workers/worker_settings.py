"""The settings of workers, made from the settings file: the only copy of settings into another form."""

from __future__ import annotations

from meshgate.proxy.limits import Limits
from meshgate.proxy.serving import ServingSettings
from meshgate.routing.connection_policy import Keepalive
from meshgate.settings.schema import ProbeSettings, SettingsFile


def serving_settings(settings: SettingsFile) -> ServingSettings:
    """The settings that a worker needs, as plain values."""
    timeouts, limits = settings.timeouts, settings.limits
    return ServingSettings(
        Limits(
            hello_timeout=timeouts.hello,
            hello_bytes=limits.hello_bytes,
            connect_timeout=timeouts.connect,
            dial_attempts=limits.dial_attempts,
            idle=timeouts.idle,
            half_close=timeouts.half_close,
            connections=limits.connections,
            connections_per_listener=limits.connections_per_listener,
            connections_per_client=limits.connections_per_client,
            unknown_sni_alert=settings.unknown_sni == "alert",
            client_keepalive=keepalive(settings.keepalive.client),
            upstream_keepalive=keepalive(settings.keepalive.upstream),
        ),
        settings.dns.servers,
        settings.access_log.path,
        settings.access_log.format,
        settings.transport,
        settings.upstream_source,
    )


def keepalive(probes: ProbeSettings) -> Keepalive | None:
    """The probes of connections; None if the settings switch them off."""
    return Keepalive(probes.count, probes.idle, probes.interval) if probes.idle else None
