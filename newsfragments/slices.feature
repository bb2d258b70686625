Change one of thousands of routes while connections are served: the routing table is compiled in slices, and serves before its analysis is done.
