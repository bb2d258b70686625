"""
The settings of workers, copied from the settings file.

This is a module of its own because a worker must not import it: with the models of the file it would be 6 MiB larger.
"""

from __future__ import annotations

from meshgate.proxy.limits import Limits
from meshgate.proxy.rates import Rate
from meshgate.proxy.serving import ServingSettings
from meshgate.settings.access_sections import Often
from meshgate.settings.schema import SettingsFile
from meshgate.settings.traffic_sections import DRAIN_REMOVED


def serving_settings(content: SettingsFile) -> ServingSettings:
    """The settings that a worker needs, as plain values."""
    timeouts, limits = content.timeouts, content.limits
    return ServingSettings(
        Limits(
            hello_timeout=timeouts.hello,
            hello_bytes=limits.hello_bytes,
            connect_timeout=timeouts.connect,
            dial_attempts=limits.dial_attempts,
            idle=timeouts.idle,
            half_close=timeouts.half_close,
            duration_jitter=timeouts.max_duration_jitter,
            connections=limits.connections,
            connections_per_listener=limits.connections_per_listener,
            connections_per_client=limits.connections_per_client,
            client_rate=_rate(limits.client_rate, limits.client_burst),
            listener_rate=_rate(limits.listener_rate, limits.listener_burst),
            dry_run=limits.dry_run,
            bandwidth=limits.bandwidth,
            bandwidth_burst=limits.bandwidth_burst,
            access=content.access.entries().access_list(),
            unknown_sni_alert=content.unknown_sni == "alert",
            client_keepalive=content.keepalive.client.keepalive(),
            upstream_keepalive=content.keepalive.upstream.keepalive(),
        ),
        content.dns.servers,
        content.access_log.choice(content.log.journal),
        content.transport,
        content.upstream_source,
        content.drain.time if content.drain.removed == DRAIN_REMOVED else None,
        content.health.on_removed == "end",
        content.health.spread,
        content.log.choice(),
    )


def _rate(often: Often, burst: int) -> Rate | None:
    return Rate(often.times / often.seconds, burst or often.times) if often.times else None
