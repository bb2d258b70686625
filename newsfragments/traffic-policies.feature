The traffic policies of DestinationRules act: timeouts, keepalive, connection limits, how endpoints are chosen, and when they are left out; ``explain`` and ``diff`` show them.
