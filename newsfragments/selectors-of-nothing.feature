An info names each selector of Gateways that nothing among the files has (``MG2040``), with the label that was probably meant
where one is mixed up, such as ``app: ingressgateway``. A Service for a single Pod of a StatefulSet has endpoints in a cluster.
