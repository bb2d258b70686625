"""Lean transports on a private epoll; the only place that knows epoll and splice."""
