"""Lean transports on a private epoll descriptor; no other modules use epoll and splice."""
