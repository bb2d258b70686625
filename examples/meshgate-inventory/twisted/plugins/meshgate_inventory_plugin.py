"""The plug-in of a provider type. It imports nothing that only the provider needs."""

from __future__ import annotations

from meshgate.providers.plugin import RouteProviderPlugin

plugin = RouteProviderPlugin("inventory", "hosts from a JSON file", "meshgate_inventory.provider.InventoryFactory")
