"""Tests of meshgate/resources/kinds/."""
