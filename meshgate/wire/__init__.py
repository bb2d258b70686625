"""Bytes to facts and back: sans-I/O parsers of what crosses the wire. Knows no socket, clock or log."""
