Check, explain and show routes without a running gateway: 'meshgate check', 'explain', 'routes', 'sniff', 'status' and 'init'.
