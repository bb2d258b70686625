"""The kinds that meshgate reads: the model of each kind beside its rules."""
