``meshgate check``, ``routes`` and ``diff`` take a fifth to a third less time, and say on a terminal how far they are.
