"""
Worker processes: several that serve connections, and one parent that decides what they serve.

The parent has the providers, the compiler, the listening sockets and the status; a worker has connections and nothing
else. They talk over a private socket, and share nothing but the counts that limits go by.
"""
