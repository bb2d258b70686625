"""Names of endpoints: resolved, remembered and kept fresh."""
