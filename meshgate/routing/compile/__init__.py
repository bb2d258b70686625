"""From resources to a routing table."""
