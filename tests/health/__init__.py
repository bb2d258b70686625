"""Tests of :mod:`meshgate.health`."""
