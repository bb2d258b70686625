"""A route provider for meshgate: hosts from a JSON file."""
