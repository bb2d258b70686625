"""The settings: read, judged and given on in one form."""
