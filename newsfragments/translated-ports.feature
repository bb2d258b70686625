``explain``, ``test`` and ``routes`` take the port that clients connect to where the gateway's Service translates it, and say
the translation; node ports count as well. ``MG2002`` and ``MG2003`` name both numbers, and target ports by name count.
