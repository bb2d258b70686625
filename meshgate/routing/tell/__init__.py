"""A routing table in words for people: explanations, expectations, traffic diffs and statuses."""
