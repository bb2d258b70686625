"""Tests of meshgate/workers/."""
