"""
Reading the routes of the providers of a settings file once, for the commands that take ``--config``.

Files and folders of the settings are read as any others are. All other providers, which are plug-ins, are started as
the gateway does, and stopped once each has published or failed. A provider that publishes as it starts needs no
reactor; for one that needs the network or a thread, the reactor runs until then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from twisted.internet.task import LoopingCall

from meshgate.providers.feed import Feed, FeedState
from meshgate.providers.interfaces import ProviderContext
from meshgate.providers.registry import ProviderChoice
from meshgate.providers.running import Providers
from meshgate.resources.wording import listing, quoted

PATIENCE: Final = 15.0
"""Seconds that providers have to publish."""

PERIOD: Final = 0.02
"""Seconds between two looks at what has been published."""


def read_providers(
    choices: Collection[ProviderChoice], default_namespace: str, show: Callable[[str], None], reactor: Any = None
) -> FeedState:
    """
    Start providers, and return what they publish first.

    :param default_namespace: the namespace of documents that name none.
    :param show: called again and again with a text that says which providers have not published yet.
    :param reactor: the reactor, which is not running yet; None for Twisted's own.
    :raises KeyboardInterrupt: if the user ends the waiting.
    """
    if reactor is None:
        from twisted.internet import reactor
    feed = Feed(reactor, lambda state: None)
    providers = Providers(feed)
    providers.apply(choices, ProviderContext(reactor, default_namespace))
    if _waiting(feed):
        _wait(feed, reactor, show)
    for name in _waiting(feed):
        feed.sink(name).failed(f"it has published nothing within {PATIENCE:g} s")
    state = feed.flush()
    feed.stop()
    providers.stop()
    return state


def _waiting(feed: Feed) -> list[str]:
    """The names of the providers that have neither published nor failed."""
    return [each.name for each in feed.providers() if each.published is None and each.failing_since is None]


def _wait(feed: Feed, reactor: Any, show: Callable[[str], None]) -> None:
    interrupted = True

    def look() -> None:
        nonlocal interrupted
        names = _waiting(feed)
        show(f"waiting for {listing([quoted(name) for name in names])}")
        if not names or reactor.seconds() >= deadline:
            interrupted = False
            looking.stop()
            reactor.stop()

    deadline = reactor.seconds() + PATIENCE
    looking = LoopingCall(look)
    looking.clock = reactor
    reactor.callWhenRunning(looking.start, PERIOD)
    reactor.run()
    if interrupted:
        raise KeyboardInterrupt
