"""
Worker processes: they carry the connections, and the control process decides what they serve.

The control process has the providers, the compiler, the listening sockets and the status. A worker has connections and
nothing else: it parses no YAML and imports no models. The two talk over a private socket, and share nothing but the
counts by which connections are limited.
"""
