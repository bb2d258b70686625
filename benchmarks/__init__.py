"""
Benchmarks: what meshgate costs, side by side with other proxies, and how it bears thousands of routes.

``make bench`` runs ``python -m benchmarks``, the comparison; ``python benchmarks/scale.py`` is the other one.
"""
