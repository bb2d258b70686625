`meshgate check` takes little more than half of the time at twenty gateways: a resource is checked only for the gateways that it is for.
