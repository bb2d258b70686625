``loadBalancer.warmup`` of a DestinationRule is served: the share of a new endpoint grows to its full one.
