"""Tests of meshgate/routing/tell/."""
