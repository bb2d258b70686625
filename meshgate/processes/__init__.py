"""Processes of meshgate's own, beside the one that was started by the user: how they start, and how they end."""
