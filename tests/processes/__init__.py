"""Tests of meshgate/processes/."""
