"""Tests of meshgate/cli/."""
