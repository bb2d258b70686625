"""Routing tables explained to people: explanations, expectations, traffic diffs and statuses."""
