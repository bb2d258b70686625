"""Tests of meshgate/resources/."""
