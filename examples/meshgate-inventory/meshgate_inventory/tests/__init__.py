"""Tests of the provider; ``python -m twisted.trial meshgate_inventory`` runs them."""
