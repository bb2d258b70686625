"""Tests of :mod:`meshgate.api.pods`."""
