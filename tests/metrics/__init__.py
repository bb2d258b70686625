"""Tests of :mod:`meshgate.metrics`."""
