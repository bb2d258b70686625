A Helm template that is checked unrendered is named as one (``MG0001``), with the command that renders it. The warning
about a port ``tcp`` of a Service of type ``ExternalName`` (``MG2049``) says why Istio warns of it.
