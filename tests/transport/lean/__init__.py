"""Tests of meshgate/transport/lean/."""
