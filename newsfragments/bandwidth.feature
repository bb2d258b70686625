The bandwidth of each connection can be limited (`limits.bandwidth`), and that of all connections to a host together
(annotation `meshgate.io/bandwidth` of a DestinationRule), each way, over all workers.
