"""Compiling: from resources to a routing table."""
