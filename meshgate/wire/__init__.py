"""Parsers of what crosses the wire. They do no I/O: bytes come in, facts and bytes go out."""
