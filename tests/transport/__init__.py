"""Tests of meshgate/transport/."""
