Change a large file of routes while connections are served: another process reads it, so a Gateway with 10,000 hosts holds up nobody.
