"""The surroundings that the gateway gives to every provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """
    The surroundings of a provider.

    :ivar reactor: for timers, connections and threads. ``Any``, since it provides more interfaces than one type can
        name.
    :ivar default_namespace: the namespace of documents that name none.
    """

    reactor: Any
    default_namespace: str = "default"
