"""What users write: the kinds as frozen records, the YAML reader, and problems with file, line and column."""
