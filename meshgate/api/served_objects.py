"""The objects of one type: which of several with one key is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshgate.api.store_interface import Object
from meshgate.api.watch_window import WatchWindow

Key = tuple[str, str]
"""The namespace and the name of an object."""


@dataclass(eq=False, slots=True)
class ServedObjects:
    """
    The objects of one type.

    :ivar own: those that clients write, and those that are made for them.
    :ivar foreign: those of other providers.
    :ivar given: those of the gateway itself.
    :ivar made: the keys of own objects that follow from others, and are not stored.
    :ivar origins: where those of other providers are defined.
    :ivar unchanged_since: the revisions since which nothing but the status has changed, where that has.
    """

    window: WatchWindow
    own: dict[Key, Object] = field(default_factory=dict)
    foreign: dict[Key, Object] = field(default_factory=dict)
    given: dict[Key, Object] = field(default_factory=dict)
    made: set[Key] = field(default_factory=set)
    origins: dict[Key, str] = field(default_factory=dict)
    unchanged_since: dict[Key, str] = field(default_factory=dict)

    def find(self, key: Key) -> Object | None:
        """The object that is shown: the store's, then that of another provider, then the gateway's."""
        return self.own.get(key) or self.foreign.get(key) or self.given.get(key)

    def mapping_of(self, key: Key) -> dict[Key, Object]:
        """The mapping that has the object that is shown."""
        return next(each for each in (self.own, self.foreign, self.given) if key in each)
