"""Tests of meshgate/settings/."""
