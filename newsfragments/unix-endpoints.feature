Unix sockets are endpoints: ``unix:///path`` or ``unix://@name`` as the address of a WorkloadEntry, or of a ServiceEntry's
own endpoint.
