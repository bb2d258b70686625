"""Tests of meshgate/resources/yaml/."""
