Look up any field of any kind in the terminal, 'meshgate explain-field Gateway.spec.servers.tls.mode', or in the new reference of resources.
