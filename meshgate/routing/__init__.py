"""Pure decisions: from resources to a routing table, and from a connection's facts to its destination."""
