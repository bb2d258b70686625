kubectl logs takes ``-f``, ``--previous``, ``--tail``, ``--since``, ``--timestamps`` and ``--limit-bytes``. Types and subresources
that need a cluster (Jobs, ``exec``, ``port-forward``, …) are refused with what to do instead; ``kubectl apply --prune`` works
without a list of types, ``auth can-i --list`` is answered, and lists can be selected by the usual fields of each type.
