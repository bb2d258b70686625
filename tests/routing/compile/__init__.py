"""Tests of meshgate/routing/compile/."""
