"""Findings about all resources together, one file a group of rules."""
