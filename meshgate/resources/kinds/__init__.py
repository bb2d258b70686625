"""The kinds that are read: the model of each beside its rules."""
