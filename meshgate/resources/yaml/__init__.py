"""YAML with positions: documents, nodes, scalars and errors."""
