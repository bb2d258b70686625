"""Tests of meshgate/transport/dns/."""
