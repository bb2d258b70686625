"""Tests of meshgate/wire/."""
