"""Tests of meshgate/routing/."""
