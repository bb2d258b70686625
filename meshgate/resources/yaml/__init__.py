"""YAML with positions: documents, nodes, scalars and syntax errors."""
