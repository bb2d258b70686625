"""Tests of meshgate/providers/directory/."""
