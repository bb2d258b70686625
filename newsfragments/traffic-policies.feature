The traffic policies of DestinationRules act: timeouts, keepalive, connection limits, and how endpoints are chosen; ``explain`` and ``diff`` show them.
