"""The plug-in of the provider type ``inventory``. It imports nothing that only the provider needs."""

from __future__ import annotations

from meshgate.providers.plugin import RouteProviderPlugin

inventory = RouteProviderPlugin(
    "inventory", "hosts from a JSON inventory", "meshgate_inventory.provider.InventoryFactory"
)
