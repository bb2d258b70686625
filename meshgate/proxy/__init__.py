"""The data plane: Twisted protocols that sniff, dial and relay, and the record each connection leaves."""
