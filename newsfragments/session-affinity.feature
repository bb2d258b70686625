``check`` says that a Service's ``sessionAffinity`` has no effect on connections through a gateway (``MG2081``), and that ``internalTrafficPolicy: Local`` is not followed (``MG2077``).
