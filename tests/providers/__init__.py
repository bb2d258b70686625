"""Tests of meshgate/providers/."""
