``listening.wait_for_addresses``: an address that the machine does not have yet, such as a virtual one, does not end the
start; its port is bound within a second of its arrival.
