Where the gateway's Service translates ports, ``MG2002`` and ``MG2003`` name both numbers, and target ports by name count.
