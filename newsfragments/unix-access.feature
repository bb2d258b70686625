``listening.unix_sockets`` sets the permissions and the group of Unix sockets that Gateways bind to.
