For a cluster, ``meshgate check`` informs of servers that terminate TLS or use AUTO_PASSTHROUGH (``MG2031``, ``MG2032``),
which Istio serves; with ``--config`` they are errors, since this gateway does not.
