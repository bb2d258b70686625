"""
A route provider's entry in a plug-in file: its type and summary, and the dotted name of the real factory.

Plug-in files are imported by every ``twistd`` of an environment, whatever it runs. So this module imports
nothing heavy, and the factory it names is imported only when the settings choose it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

from meshgate.providers.interfaces import IRouteProvider, IRouteProviderFactory

if TYPE_CHECKING:
    from meshgate.providers.context import ProviderContext


@implementer(IPlugin, IRouteProviderFactory)
class RouteProviderPlugin:
    """
    Stands in for a factory until it is needed.

    :ivar type_name: see :class:`~meshgate.providers.interfaces.IRouteProviderFactory`.
    :ivar summary: likewise.
    :ivar factory: the dotted name of a class that makes factories when called without arguments.
    """

    def __init__(self, type_name: str, summary: str, factory: str) -> None:
        self.type_name = type_name
        self.summary = summary
        self.factory = factory

    def parse_options(self, options: Mapping[str, object], folder: str) -> Any:
        """Ask the real factory."""
        return self._real().parse_options(options, folder)

    def create(self, name: str, options: Any, context: ProviderContext) -> IRouteProvider:
        """Ask the real factory."""
        return self._real().create(name, options, context)

    def _real(self) -> IRouteProviderFactory:
        return cast(IRouteProviderFactory, namedAny(self.factory)())  # type: ignore[no-untyped-call]
