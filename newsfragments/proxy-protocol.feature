PROXY headers of version 1 and 2 are read from trusted load balancers (``listening.proxy_protocol``, and the annotation
``meshgate.io/proxy-protocol`` of a Gateway), and sent to endpoints by ``proxyProtocol`` of a DestinationRule.
