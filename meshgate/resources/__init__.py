"""The resources that users write: reading YAML, validating each kind, and problems with file, line and column."""
