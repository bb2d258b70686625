``meshgate check``, ``explain``, ``routes``, ``diff`` and ``test`` take a path without a document for an error, such as an
empty pipe of a ``kubectl`` that has failed; ``--allow-empty`` accepts it. ``diff`` exits with 2 if a file cannot be read or
a resource is not valid.
