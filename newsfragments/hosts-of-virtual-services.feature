The hint of ``MG2058`` says when the host of a DestinationRule is one of a VirtualService, and names the service to write.
