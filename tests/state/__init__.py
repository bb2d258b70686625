"""Tests of meshgate/state/."""
