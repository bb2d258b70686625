"""Tests of meshgate/proxy/."""
