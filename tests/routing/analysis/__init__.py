"""Tests of meshgate/routing/analysis/."""
