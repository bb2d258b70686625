"""Analyzers: problems that show only when all resources are seen together; one file a group of rules."""
