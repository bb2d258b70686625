"""Sockets: listening, dialing and name resolution. The only layer that opens a connection or a port."""
