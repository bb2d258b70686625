"""Tests of meshgate, one module per module, and end to end over real processes."""
