"""A table told to people: explanations, expectations, differences, statuses."""
