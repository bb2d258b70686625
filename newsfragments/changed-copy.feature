MG0007 says which of two documents of one resource counts and why (`routes.yaml sorts last`), with both places, and whether the other one is an equal copy.
