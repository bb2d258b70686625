"""Tests of :mod:`meshgate.api`."""
