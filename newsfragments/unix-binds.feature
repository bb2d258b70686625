Gateways bind to Unix sockets: ``bind: unix:///path`` or ``unix://@name``, with port 0. The user and the group of the gateway
may connect (0660); what a dead gateway has left at the path is replaced.
