"""Tests of meshgate/lab/."""
