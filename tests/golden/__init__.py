"""The exact texts of problems, a table per kind."""
