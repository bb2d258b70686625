Read Gateway, VirtualService, Service, WorkloadEntry, EndpointSlice and ServiceEntry, and route TCP ports and TLS by server name as Istio does.
