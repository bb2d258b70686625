"""
A route provider's entry in a plug-in file: its type and summary, and the dotted name of its factory.

Every ``twistd`` of an environment imports all plug-in files, whatever it runs. So this module imports nothing heavy,
and the factory is imported only when the settings choose it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

from meshgate.providers.interfaces import IRouteProvider, IRouteProviderFactory, ProviderContext


@implementer(IPlugin, IRouteProviderFactory)
class RouteProviderPlugin:
    """
    Stands for a factory, which is imported once it is needed.

    :ivar type_name: as in :class:`~meshgate.providers.interfaces.IRouteProviderFactory`.
    :ivar summary: likewise.
    :ivar factory: the dotted name of the factory's class, which is called without arguments.
    """

    def __init__(self, type_name: str, summary: str, factory: str) -> None:
        self.type_name = type_name
        self.summary = summary
        self.factory = factory

    def parse_options(self, options: Mapping[str, object], folder: str) -> Any:
        """Have the factory validate the options."""
        return self._factory().parse_options(options, folder)

    def create(self, name: str, options: Any, context: ProviderContext) -> IRouteProvider:
        """Have the factory make a provider."""
        return self._factory().create(name, options, context)

    def _factory(self) -> IRouteProviderFactory:
        return cast(IRouteProviderFactory, namedAny(self.factory)())  # type: ignore[no-untyped-call]
